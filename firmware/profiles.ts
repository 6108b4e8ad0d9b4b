// The profiles: what a bundle can be linked of, by name. `main` is profile.ts as it stands. A further one is a row here: constants of
// profile.ts that are other ones, and folders whose files stand in the place of files that the main profile has (README.md 11).
// Nothing of a profile is in another one's bundle.

export interface Profile {
  /** What it is for, in a sentence. */
  about: string;
  /** Constants of profile.ts with other values. */
  constants: Readonly<Record<string, boolean | number>>;
  /** A folder in firmware/ -> the folder in firmware/ whose files stand in the place of those of the same names there. */
  over?: Readonly<Record<string, string>>;
  /** The bundle is the boot file itself: there is neither loader nor slot, and so no bench, no image and no update for it. */
  isBootFile?: boolean;
  /** Drivers (hal/espruino/) that stand in the place of others. */
  drivers?: Readonly<Record<string, string>>;
  /** What the `psk` of the key record is derived for (scripts/lib/keys/kdf.ts); default `psk`. */
  pskLabel?: "psk13" | "akep2" | "psk/tree" | "esp" | "peer";
  /** Boards whose slots have no room for it, or that it is not for, by the originals' names. */
  noRoom?: readonly string[];
}

const NO_CBC = { TLS_PSK_WITH_AES_128_CBC_SHA: false, TLS_PSK_WITH_AES_128_CBC_SHA256: false };
/** No suite of TLS 1.2 that the main profile has. */
const NO_SUITE = { ...NO_CBC, TLS_PSK_WITH_AES_128_CCM_8: false, TLS_PSK_WITH_AES_128_CCM: false };

/** What a heap of 341 variables has no room for. */
const SMALL = {
  ...{ SMALL: true, CONSOLE: false, PROVISIONING: false, HISTORY: false, UPDATES: false },
  ...{ FRAGMENT_LIMIT: 128, PACKET_LIMIT: 128, OUTGOING_LIMIT: 128, SECTION_LIMIT: 1000 },
};

const IN_SMALL = {
  over: { app: "small", crypto: "small", store: "small", tls: "small" },
  drivers: { native_aes: "native_aes_once" },
  isBootFile: true,
};

export const PROFILES: Readonly<Record<string, Profile>> = {
  main: { about: "TLS 1.2 under CCM and CBC", constants: {} },
  gcm: {
    about: "TLS 1.2 under GCM alone, the AEAD that every server takes as it comes",
    constants: { ...NO_SUITE, TLS_PSK_WITH_AES_128_GCM_SHA256: true },
    noRoom: ["esp32-idf4"],
  },
  tls13: {
    about: "TLS 1.3 with psk_ke, under CCM",
    constants: { ...NO_SUITE, TLS_1_3: true, TLS_AES_128_GCM_SHA256: false },
    over: { tls: "tls13" },
    pskLabel: "psk13",
    noRoom: ["esp32-idf4", "mdbt42q-w5500"],
  },
  "tls13-gcm": {
    about: "TLS 1.3 with psk_ke, under GCM alone; the console does not tell the journal's events",
    constants: {
      ...NO_SUITE,
      TLS_1_3: true,
      TLS_AES_128_CCM_8_SHA256: false,
      TLS_AES_128_CCM_SHA256: false,
      HISTORY: false,
    },
    over: { tls: "tls13" },
    pskLabel: "psk13",
    noRoom: ["esp32-idf4", "mdbt42q-w5500"],
  },
  akep2: {
    about: "AKEP2 as EAP-PSK (RFC 4764): AES alone, no hash; records under CCM_8",
    pskLabel: "akep2",
    constants: { ...NO_CBC, AKEP2: true, TLS_PSK_WITH_AES_128_CCM: false },
    over: { tls: "akep2" },
  },
  esp: {
    about:
      "IPsec with manual keys: ESP (RFC 4303) in TCP under AES-CCM, datagrams instead of MQTT; no updates",
    pskLabel: "esp",
    constants: { ...NO_CBC, ESP: true, TLS_PSK_WITH_AES_128_CCM: false, UPDATES: false },
    over: { tls: "esp", mqtt: "esp" },
  },
  "esp-cbc": {
    about: "the same under AES-128-CBC with HMAC-SHA-1-96",
    pskLabel: "esp",
    constants: { ...NO_SUITE, ESP: true, ESP_CCM: false, UPDATES: false },
    over: { tls: "esp", mqtt: "esp" },
    // its AES cannot decrypt
    noRoom: ["mdbt42q-w5500"],
  },
  epochs: {
    about:
      "TLS 1.2 under CCM, each session under a key of which nothing stays; the console does not tell the journal's events",
    constants: { ...NO_CBC, EPOCHS: true, HISTORY: false },
    pskLabel: "psk/tree",
    noRoom: ["esp32-idf4", "mdbt42q-w5500"],
  },
  peer: {
    about:
      "TLS 1.2 under CCM; devices obey each other by tickets (Needham and Schroeder, 1987), and no broker; the console does not tell the journal's events",
    constants: { ...NO_CBC, PEER: true, HISTORY: false },
    pskLabel: "peer",
    noRoom: ["esp32-idf4", "mdbt42q-w5500"],
  },
  small: {
    about: "TLS 1.2 under CCM_8 alone for 341 variables: messages of up to 128 bytes; no console, no updates",
    constants: { ...NO_SUITE, ...SMALL, TLS_PSK_WITH_AES_128_CCM_8: true },
    ...IN_SMALL,
    // it has no digest of its own
    noRoom: ["esp32-idf4"],
  },
  "small-cbc": {
    about: "the same under CBC_SHA alone",
    constants: { ...NO_SUITE, ...SMALL, TLS_PSK_WITH_AES_128_CBC_SHA: true },
    ...IN_SMALL,
    // no digest of its own; an AES that cannot decrypt
    noRoom: ["esp32-idf4", "mdbt42q-w5500"],
  },
  "small-akep2": {
    about: "the same under AKEP2",
    pskLabel: "akep2",
    constants: { ...NO_CBC, ...SMALL, AKEP2: true, TLS_PSK_WITH_AES_128_CCM: false },
    ...IN_SMALL,
    over: { ...IN_SMALL.over, tls: "akep2", akep2: "small/akep2" },
  },
};
