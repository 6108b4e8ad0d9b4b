// What is linked into the bundle and the policy it keeps (README.md 1). Delete a line, lose bytes: every value
// is a constant that the build folds. A test build overrides one by its name.

/** RFC 4279: AES-128-CBC with HMAC-SHA-1. Needs AES decryption. */
export const TLS_PSK_WITH_AES_128_CBC_SHA = true;
/** RFC 5487: AES-128-CBC with HMAC-SHA-256. Needs AES decryption. */
export const TLS_PSK_WITH_AES_128_CBC_SHA256 = true;
/** RFC 6655: AES-128-CCM with an 8-byte tag, the suite that RFC 7925 makes mandatory. */
export const TLS_PSK_WITH_AES_128_CCM_8 = true;
/** RFC 6655: AES-128-CCM with a 16-byte tag, for servers that refuse the short one. */
export const TLS_PSK_WITH_AES_128_CCM = true;
/** RFC 5487: AES-128-GCM, the one AEAD that every server takes as it comes. Not here: its hash is costly in an interpreter (profiles.ts). */
export const TLS_PSK_WITH_AES_128_GCM_SHA256 = false;

/** TLS 1.3 (RFC 8446) in the place of 1.2: tls13/ (profiles.ts). */
export const TLS_1_3 = false;
/** Its suites, B.4: the same ciphers as above. */
export const TLS_AES_128_CCM_8_SHA256 = true;
export const TLS_AES_128_CCM_SHA256 = true;
export const TLS_AES_128_GCM_SHA256 = true;

/** AKEP2 (RFC 4764) in the place of TLS's handshake: akep2/ (profiles.ts). */
export const AKEP2 = false;

/** ESP with manual keys (RFC 4303) in the place of TLS, datagrams in that of MQTT: esp/ (profiles.ts). */
export const ESP = false;
/** Its transform: AES-CCM (RFC 4309); false: AES-128-CBC with HMAC-SHA-1-96 (RFC 3602, 2404), which needs AES decryption. */
export const ESP_CCM = true;

/** Devices command each other under keys of a ticket service (peer/), and obey nobody else: profiles.ts. */
export const PEER = false;

/** A key of its own for each session, of which nothing stays (store/tree.ts): for servers that derive. */
export const EPOCHS = false;

/**
 * For a heap of 341 variables (small/, profiles.ts): no journal, no word of what the device has been through, the bundle is the boot file itself, and every
 * variable that the others spend on bytes or on time is saved.
 */
export const SMALL = false;

/** Take the console's port once there is a key record, and answer on it (console/). False: the prompt stays open. */
export const CONSOLE = true;
/** What provisioning adds: prove keys to the bench, finish at the start what a power cut has left of a record. */
export const PROVISIONING = true;

/** Tell the journal's events on the console: `err` and `log` (console/history.ts). */
export const HISTORY = true;

/** Take updates over the air (ota/updater.ts), where a loader has started the image: 2 KB. */
export const UPDATES = true;

/** Longest that a start of an image may take that has had no session yet, milliseconds; then the loader starts anew. */
export const TRIAL_MS = 1_200_000;
/** Times that the watchdog is fed meanwhile. */
export const TRIAL_FEEDS = 100;

/** Refuse a server that does not bind the master secret to the handshake (RFC 7627, 5.3). */
export const requireExtendedMasterSecret = true;
/** Refuse a CBC suite without encrypt-then-MAC (RFC 7366). False: MAC-then-encrypt is taken as well. */
export const requireEncryptThenMac = true;
/**
 * Call a connection open as soon as our Finished is sent: one round trip less, for data that is sent before the
 * server has proved itself. Off: RFC 7918 lists only forward-secret key exchanges, plain PSK is none of them.
 */
export const falseStart = false;

/** Longest plaintext of a record, bytes, both ways: RFC 6066 and RFC 8449 carry it to the server. */
export const FRAGMENT_LIMIT = 512;
/** Longest time from an application's connect() to the server's Finished, milliseconds. Our own takes 2 or 3 ticks. */
export const HANDSHAKE_TIMEOUT_MS = 30000;
/** First ceiling of the delay before a reconnect, milliseconds; the delay is uniform below it. */
export const RECONNECT_FIRST_MS = 1000;
/** How often it doubles, at most once for each failure: up to 256 seconds. */
export const RECONNECT_DOUBLINGS = 8;
/** MQTT keep-alive, seconds; a PINGREQ goes out every half of it, and telemetry with every n-th of these. */
export const KEEP_ALIVE_S = 120;
export const TELEMETRY_EVERY = 1;
/** Longest MQTT packet that is taken, bytes: a longer one is acknowledged and passed over as it comes. */
export const PACKET_LIMIT = 640;
/** So many bytes may wait to be sent before answers give way to newer ones; acknowledgements may take as much again. */
export const OUTGOING_LIMIT = 512;
/** Fewer free variables than that are too few to let an answer wait beside another one, or to lie in pieces. */
export const SCARCE = 200;

/** Longest line of the console, bytes: `conf set pass ` and 64 hex digits, which WPA2 takes, are 78. */
export const LINE_LIMIT = 80;

/** A place in the file `conf` (settings.ts), and the longest that settings may be in it, bytes. */
export const SETTINGS_PLACE = 320;
export const SETTINGS_LIMIT = 312;

/** The file in Storage under which the bundle lies: started at power-on, and a button held then does not skip it. */
export const BUNDLE_FILE = ".bootrst";
/** Longest section of a bundle in tokens, bytes (load_section.ts); the build refuses a longer one. */
export const SECTION_LIMIT = 720;
