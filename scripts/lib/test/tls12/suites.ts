/*
 * The cipher suites that the test servers speak, as data: RFC 4279 (CBC_SHA), RFC 5487 (CBC_SHA256, GCM) and
 * RFC 6655 (CCM, CCM_8), with the names that OpenSSL and GnuTLS have for them.
 * Written apart from the firmware on purpose: it is what the firmware is checked against.
 */

export interface Suite {
  code: number;
  name: string;
  openssl: string;
  gnutls: string;
  kind: "cbc" | "ccm" | "gcm";
  /** The hash of the record's HMAC; only CBC has one. */
  hash: "sha1" | "sha256" | "";
  /** Bytes of the HMAC or of the tag at the end of a record. */
  macLength: number;
}

/** Those of the profile `main`. */
export const SUITES: readonly Suite[] = [
  {
    code: 0x008c,
    name: "TLS_PSK_WITH_AES_128_CBC_SHA",
    openssl: "PSK-AES128-CBC-SHA",
    gnutls: "-CIPHER-ALL:+AES-128-CBC:-MAC-ALL:+SHA1",
    kind: "cbc",
    hash: "sha1",
    macLength: 20,
  },
  {
    code: 0x00ae,
    name: "TLS_PSK_WITH_AES_128_CBC_SHA256",
    openssl: "PSK-AES128-CBC-SHA256",
    gnutls: "-CIPHER-ALL:+AES-128-CBC:-MAC-ALL:+SHA256",
    kind: "cbc",
    hash: "sha256",
    macLength: 32,
  },
  {
    code: 0xc0a8,
    name: "TLS_PSK_WITH_AES_128_CCM_8",
    openssl: "PSK-AES128-CCM8",
    gnutls: "-CIPHER-ALL:+AES-128-CCM-8:-MAC-ALL:+AEAD",
    kind: "ccm",
    hash: "",
    macLength: 8,
  },
  {
    code: 0xc0a4,
    name: "TLS_PSK_WITH_AES_128_CCM",
    openssl: "PSK-AES128-CCM",
    gnutls: "-CIPHER-ALL:+AES-128-CCM:-MAC-ALL:+AEAD",
    kind: "ccm",
    hash: "",
    macLength: 16,
  },
];

/** That of the profile `gcm`. */
export const GCM: Suite = {
  code: 0x00a8,
  name: "TLS_PSK_WITH_AES_128_GCM_SHA256",
  openssl: "PSK-AES128-GCM-SHA256",
  gnutls: "-CIPHER-ALL:+AES-128-GCM:-MAC-ALL:+AEAD",
  kind: "gcm",
  hash: "",
  macLength: 16,
};

export const EVERY_SUITE: readonly Suite[] = [...SUITES, GCM];

/** The profile that has a suite (firmware/profiles.ts). */
export function profileWith(suite: Suite): string {
  return suite === GCM ? "gcm" : "main";
}

/** Find the row of a suite; throws where there is none. */
export function suiteOf(code: number): Suite {
  const suite = EVERY_SUITE.find((row) => row.code === code);
  if (!suite) throw new Error(`no row for cipher suite 0x${code.toString(16).padStart(4, "0")}`);
  return suite;
}
