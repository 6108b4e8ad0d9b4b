// Every failure of the device as one integer: 1..63 our own, 256 + n an alert received, 512 + n an alert sent
// (RFC 5246, 7.2, and the extensions' own RFCs). scripts/lib/cli/error_text.ts has a sentence for each.

/** The noise source repeated itself: SP 800-90B, 4.4.1. */
export const NOISE_REPETITION = 1;
/** The noise source leans to one value: SP 800-90B, 4.4.2. */
export const NOISE_PROPORTION = 2;
/** The noise source gave no sample in time. */
export const NOISE_DEAD = 3;
/** No key or no identity is provisioned. */
export const NO_KEY = 4;
/** The network is not up. */
export const NO_NETWORK = 5;
/** The server's name or port does not answer, or refuses. */
export const NO_SERVER = 6;
/** The handshake did not end in time. */
export const TIMEOUT = 7;
/** TCP was closed without close_notify: what came last may be cut short. */
export const TRUNCATED = 8;
/** The AES peripheral gave no result. */
export const AES_FAILED = 9;
/** The broker sent what MQTT 3.1.1 does not allow. */
export const MQTT_PROTOCOL = 10;
/** The broker did not answer a PINGREQ. */
export const MQTT_SILENT = 11;
/** The interpreter ran out of variables. */
export const OUT_OF_MEMORY = 12;
/** The record sequence numbers of this connection are used up. */
export const SEQUENCE_END = 13;
/** The server's name is unknown: DNS did not answer, or knows no such host. */
export const NAME_UNKNOWN = 14;
/** The broker does not let us listen: its SUBACK refuses a subscription. */
export const MQTT_SUBSCRIPTION = 15;
/** The broker closed the connection and did not say why. */
export const MQTT_CLOSED = 16;
/** Plus the CONNACK's return code, 1 to 5: the broker refused the connection. */
export const MQTT_REFUSED = 16;

/** AES gives another result than FIPS 197 says. */
export const AES_WRONG = 22;
/** A hash gives another result than FIPS 180-4 says. */
export const HASH_WRONG = 23;
/** Flash does not hold what was written. */
export const FLASH_FAILED = 24;
/** The key record is not whole, or there is one already. */
export const KEY_REFUSED = 25;
/** The console does not know this request. */
export const REQUEST_UNKNOWN = 26;

/** The request is a service command: unlock first. */
export const LOCKED = 27;
/** Too many false answers: wait. */
export const WAIT = 28;
/** The answer to the challenge is false, or none was asked for. */
export const ANSWER_WRONG = 29;
/** The setting's name or value is refused. */
export const VALUE_REFUSED = 30;
/** Flash has no room for it. */
export const FLASH_FULL = 31;

/** No slot holds a whole image. */
export const NO_IMAGE = 32;
/** The image as it came is not that of its manifest. */
export const IMAGE_DIGEST = 33;
/** A new image was started as often as is allowed and never confirmed: the old one is back. */
export const NOT_CONFIRMED = 34;
/** A piece of the image has another length than its place asks for. */
export const PIECE_LENGTH = 35;
/** The manifest's format or length is unknown; the next ones: the field that is not for this device (ota/manifest.ts). */
export const MANIFEST_FORMAT = 36;
export const MANIFEST_TYPE = 37;
export const MANIFEST_ENCODING = 38;
export const MANIFEST_HARDWARE = 39;
/** Product or serial. */
export const MANIFEST_TARGET = 40;
/** Image length. */
export const MANIFEST_LENGTH = 41;
/** The sequence is not above the device's own: a rollback. */
export const MANIFEST_SEQUENCE = 42;
export const MANIFEST_TAG = 43;
export const MANIFEST_KEYS = 44;

/** An exception in the product's own code (firmware/product/product.ts), in the member of that name. */
export const PRODUCT_START = 45;
export const PRODUCT_ONLINE = 46;
export const PRODUCT_COMMAND = 47;
export const PRODUCT_TIMES = 48;
export const PRODUCT_TELEMETRY = 49;
export const PRODUCT_WELL = 50;
export const PRODUCT_STOP = 51;
/** In a callback of its own: of a watch, a timer, or anything else that nobody catches. */
export const PRODUCT_CALLBACK = 57;

/** A packet of ESP has another SPI than ours. */
export const ESP_SPI = 52;
/** Its sequence number came already, or is too old to tell. */
export const ESP_REPLAY = 53;
/** Its integrity check value is wrong. */
export const ESP_ICV = 54;
/** Its length, its padding or what is in the tunnel is not laid out as it must be. */
export const ESP_FORM = 55;

/** A message of another device, or of the ticket service, is not what it must be: altered, repeated, late, or of somebody else (peer/). */
export const PEER_REFUSED = 56;

/** A server of TLS 1.3 wants a key exchange with public keys (psk_dhe_ke): its HelloRetryRequest asks for a key_share. */
export const WANTS_KEY_SHARE = 60;
/** A server of TLS 1.3 wants its cookie back: its HelloRetryRequest has one. */
export const WANTS_COOKIE = 61;

/** Plus the alert: it came from the server. */
export const RECEIVED = 256;
/** Plus the alert: we sent it. What throws one to be sent throws minus the alert. */
export const SENT = 512;

export const CLOSE_NOTIFY = 0;
export const UNEXPECTED_MESSAGE = 10;
export const BAD_RECORD_MAC = 20;
export const RECORD_OVERFLOW = 22;
export const HANDSHAKE_FAILURE = 40;
export const ILLEGAL_PARAMETER = 47;
export const DECODE_ERROR = 50;
export const DECRYPT_ERROR = 51;
export const PROTOCOL_VERSION = 70;
export const INTERNAL_ERROR = 80;
export const NO_RENEGOTIATION = 100;
export const UNSUPPORTED_EXTENSION = 110;
