/*
 * The cipher suites of TLS 1.3 that the test servers speak (RFC 8446, B.4), with the names that OpenSSL and GnuTLS have for them. All of
 * them hash with SHA-256. Written apart from the firmware on purpose: it is what the firmware is checked against.
 */
export interface Suite13 {
  code: number;
  name: string;
  gnutls: string;
  /** Its name in node:crypto. */
  cipher: "aes-128-ccm" | "aes-128-gcm";
  /** Bytes. */
  tagLength: number;
}

export const SUITES_13: readonly Suite13[] = [
  {
    code: 0x1305,
    name: "TLS_AES_128_CCM_8_SHA256",
    gnutls: "AES-128-CCM-8",
    cipher: "aes-128-ccm",
    tagLength: 8,
  },
  {
    code: 0x1304,
    name: "TLS_AES_128_CCM_SHA256",
    gnutls: "AES-128-CCM",
    cipher: "aes-128-ccm",
    tagLength: 16,
  },
  {
    code: 0x1301,
    name: "TLS_AES_128_GCM_SHA256",
    gnutls: "AES-128-GCM",
    cipher: "aes-128-gcm",
    tagLength: 16,
  },
];

/** The profile that has a suite (firmware/profiles.ts). */
export function profileWith({ cipher }: Suite13): string {
  return cipher === "aes-128-gcm" ? "tls13-gcm" : "tls13";
}

function rows(code: number | undefined): readonly Suite13[] {
  return code === undefined ? SUITES_13 : SUITES_13.filter((suite) => suite.code === code);
}

/** OpenSSL's name of a suite, or those of all. */
export function ciphersuites(code: number | undefined): string {
  return rows(code)
    .map(({ name }) => name)
    .join(":");
}

/** GnuTLS's priority string for a suite, or for all. */
export function gnutlsSuites(code: number | undefined): string {
  return `-CIPHER-ALL:${rows(code)
    .map(({ gnutls }) => `+${gnutls}`)
    .join(":")}`;
}
