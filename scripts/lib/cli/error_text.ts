// A sentence for every error code of the device (firmware/tls/alert.ts): 1..63 our own, 256 + n an alert received,
// 512 + n an alert sent. Alert names: RFC 5246, 7.2, and the registry beyond it. A test demands that no code of
// alert.ts is missing here. The device prints only the number; people read this.
import * as codes from "../../../firmware/tls/alert";

/** The sentences of the device's own codes, by their names in alert.ts. */
const OWN = {
  NOISE_REPETITION:
    "The noise source gave the same value over and over (repetition count test), so no nonce was made and no handshake begun: is the radio on, is the right source named in the board's file?",
  NOISE_PROPORTION:
    "The noise source leans to one value (adaptive proportion test), so no nonce was made and no handshake begun: is the radio on, is the right source named in the board's file?",
  NOISE_DEAD:
    "The noise source gave no sample in time, so no handshake was begun: is its peripheral powered and clocked?",
  NO_KEY: "There is no key or no identity on the device: provision it.",
  NO_NETWORK:
    "The network is not up: check the access point's name and password, or the cable. The device tries again.",
  NO_SERVER:
    "The server cannot be reached: nothing listens on that port, the address is wrong, or a firewall stands between. The device tries again.",
  NAME_UNKNOWN:
    "The server's name is unknown: the name server did not answer, or knows no such host. Check `host` and the network's DNS. The device tries again.",
  TIMEOUT:
    "The connection or its handshake was not finished in time: the server is silent, slow, or speaks something else than TLS. The device tries again.",
  TRUNCATED:
    "TCP was closed without close_notify, so what came last may be cut short: the server fell over, a middle box cut the line, or an attacker did. The device tries again.",
  AES_FAILED: "The AES peripheral gave no result, even after several tries: a radio stack may be holding it.",
  MQTT_PROTOCOL:
    "The broker sent something that MQTT 3.1.1 does not allow: is it an MQTT broker that listens behind TLS there?",
  MQTT_SILENT:
    "The broker did not answer a PINGREQ in time: the connection was dead, and the device makes a new one.",
  MQTT_SUBSCRIPTION:
    "The broker does not let the device listen to its own topics: it hears no commands or no updates. Look at the broker's access list; the device asks again.",
  MQTT_CLOSED:
    "The broker closed the connection in good order and did not say why: was it restarted, does another client bear the device's name, may the device not publish or listen there? The device comes back.",
  OUT_OF_MEMORY: "The interpreter ran out of variables; the device restarts its connection.",
  SEQUENCE_END:
    "The record sequence numbers of this connection are used up; the device makes a new connection with new keys.",
  AES_WRONG:
    "AES gives another result than FIPS 197 says: the chip or its interpreter is faulty, put the unit aside.",
  HASH_WRONG:
    "SHA-1 or SHA-256 gives another result than FIPS 180-4 says: the chip or its interpreter is faulty, put the unit aside.",
  FLASH_FAILED: "Flash does not hold what was written into it, or Storage is full: lay the image down anew.",
  KEY_REFUSED:
    "The key record was refused and nothing is written: its check values are wrong, or the device holds a whole one already, which only a factory reset removes.",
  REQUEST_UNKNOWN: "The device does not know this request.",
  LOCKED: "This is a service command: answer the challenge of `unlock` first.",
  WAIT: "Too many false answers were given: wait, the delay doubles with each more and begins anew at a restart.",
  ANSWER_WRONG:
    "The answer does not fit the challenge, or its role or minutes are others: ask for a new challenge.",
  VALUE_REFUSED:
    "The setting was refused and nothing is written: no setting has that name, or the value does not suit it.",
  FLASH_FULL: "Flash has no room for it, and nothing is written: a unit for the bench.",
  NO_IMAGE: "No slot holds a whole image: nothing was started. A unit for the bench.",
  IMAGE_DIGEST:
    "All pieces of the update came, and together they are not the image that the manifest names: the broker serves another one. The old image stays.",
  NOT_CONFIRMED:
    "The new image was started as often as is allowed and never had an authenticated session: the old one is back.",
  PIECE_LENGTH:
    "A piece of the update has another length than its place asks for: the broker serves another image.",
  MANIFEST_FORMAT: "The manifest of the update has a format or a length that this firmware does not know.",
  MANIFEST_TYPE: "The manifest of the update asks for a kind of update that this firmware does not do.",
  MANIFEST_ENCODING: "The manifest of the update names an encoding that this board does not unpack.",
  MANIFEST_HARDWARE: "The manifest of the update is for other hardware.",
  MANIFEST_TARGET: "The manifest of the update names another product or serial.",
  MANIFEST_LENGTH: "The image of the update does not fit into a slot, or is empty.",
  MANIFEST_SEQUENCE:
    "The update is not newer than what the device has confirmed already: a rollback, refused.",
  MANIFEST_KEYS:
    "The keys behind the manifest are no whole record: they were not wrapped under this device's `rekey` key.",
  MANIFEST_TAG: "The tag of the manifest is false: it was not signed for this device by its `ota` key.",
  PRODUCT_START: "The product's own code threw an exception in `start`.",
  PRODUCT_ONLINE: "The product's own code threw an exception in `online`.",
  PRODUCT_COMMAND: "The product's own code threw an exception in `command`: the command was not carried out.",
  PRODUCT_TIMES: "The product's own code threw an exception at one of its own times.",
  PRODUCT_TELEMETRY: "The product's own code threw an exception in `telemetry`.",
  PRODUCT_WELL: "The product's own code threw an exception in `well`: an update is not confirmed.",
  PRODUCT_STOP: "The product's own code threw an exception in `stop`.",
  PRODUCT_CALLBACK: "The product's own code threw an exception in a callback, of a watch or a timer.",
  ESP_SPI:
    "A packet of ESP came with another SPI than the device's: the other end has another key or transform for it, or speaks IKE, which there is none of here.",
  ESP_REPLAY:
    "A packet of ESP came with a sequence number that was taken already, or is too old to tell: it was recorded and sent again, or the other end does not number above what the device sends.",
  ESP_ICV:
    "A packet of ESP has a wrong integrity check value: it was altered on the way, or made under another key.",
  ESP_FORM:
    "A packet of ESP, or what is in its tunnel, is not laid out as the device takes it: one UDP datagram over IPv4, between the two addresses and the port of firmware/README.md 14.",
  PEER_REFUSED:
    "A message of another device or of the ticket service was refused: it was altered, repeated, late, or is of another session or device; what stood goes on.",
  WANTS_KEY_SHARE:
    "The server of TLS 1.3 wants a key exchange with public keys (psk_dhe_ke): allow it psk_ke, `Options = AllowNoDHEKEX` of OpenSSL.",
  WANTS_COOKIE:
    "The server of TLS 1.3 sends a cookie and wants another ClientHello: turn that off in the server.",
} satisfies Partial<Record<keyof typeof codes, string>>;

/** What a broker means by the return code of its CONNACK (MQTT 3.1.1, 3.2.2.3). */
const CONNACK: Record<number, string> = {
  1: "it does not speak MQTT 3.1.1",
  2: "it refuses the client identifier, `<product>-<serial>`",
  3: "it is not available",
  4: "it wants another user name or password; it should take the TLS identity as the user (Mosquitto: use_identity_as_username true)",
  5: "this device is not authorised",
};

interface Alert {
  name: string;
  /** What it says when the server sent it; a clause. */
  received: string;
  /** What the server did wrong when the device sent it; a clause. */
  sent?: string;
}

const KEY_OR_IDENTITY = "the key is wrong or the identity unknown (servers do not say which, and should not)";

/** TLS alerts by number. */
const ALERTS: Record<number, Alert> = {
  0: {
    name: "close_notify",
    received: "the server closed the connection in good order",
    sent: "the device closed the connection in good order",
  },
  10: {
    name: "unexpected_message",
    received: "it did not expect the message that it got",
    sent: "the server sent a message that does not belong at this place of the protocol",
  },
  20: {
    name: "bad_record_mac",
    received: `${KEY_OR_IDENTITY}, or a record was altered on the way`,
    sent: "a record's MAC, tag or padding was false: altered on the way, or made under another key",
  },
  21: { name: "decryption_failed", received: "it could not decrypt a record (an alert of TLS 1.0)" },
  22: {
    name: "record_overflow",
    received: "a record was longer than it takes",
    sent: "the server sent a record over 512 bytes: it ignores both max_fragment_length and record_size_limit, set its fragment limit by hand",
  },
  30: { name: "decompression_failure", received: "it could not decompress a record" },
  40: {
    name: "handshake_failure",
    received:
      "it and the device have no cipher suite in common: let the server take a PSK suite of the device (OpenSSL's family: -cipher PSK:@SECLEVEL=0)",
    sent: "what the server agreed to is below the policy: extended_master_secret, encrypt_then_mac or secure renegotiation is missing",
  },
  41: { name: "no_certificate", received: "it wants a certificate (an alert of SSL 3)" },
  42: { name: "bad_certificate", received: "it did not like a certificate, though none is used here" },
  43: {
    name: "unsupported_certificate",
    received: "it did not like a certificate, though none is used here",
  },
  44: { name: "certificate_revoked", received: "it did not like a certificate, though none is used here" },
  45: { name: "certificate_expired", received: "it did not like a certificate, though none is used here" },
  46: { name: "certificate_unknown", received: "it did not like a certificate, though none is used here" },
  47: {
    name: "illegal_parameter",
    received: "a field of the handshake had a value that it does not allow",
    sent: "the server chose or echoed something that the device did not offer: a suite, a fragment length, a compression, an extension's value",
  },
  48: { name: "unknown_ca", received: "it wants a certificate, though none is used here" },
  49: { name: "access_denied", received: "it knows the device and refuses it" },
  50: {
    name: "decode_error",
    received: "it could not read a message",
    sent: "a message of the server is malformed: a length points outside of it, or bytes are left over",
  },
  51: {
    name: "decrypt_error",
    received: `its check of the device's Finished failed: ${KEY_OR_IDENTITY}`,
    sent: "the server's Finished is false: it holds another key, or someone altered the handshake on the way",
  },
  60: { name: "export_restriction", received: "it is bound by an export rule of long ago" },
  70: {
    name: "protocol_version",
    received: "it does not speak TLS 1.2, the device's only version: allow TLS 1.2 on the server",
    sent: "the server chose another version than TLS 1.2, and the device falls back to nothing",
  },
  71: {
    name: "insufficient_security",
    received: "the device's suites are too weak for its policy (OpenSSL's family: @SECLEVEL=0 allows CCM_8)",
  },
  80: {
    name: "internal_error",
    received: "it failed for reasons of its own",
    sent: "the device itself failed; please report how it came about",
  },
  86: { name: "inappropriate_fallback", received: "it suspects a downgrade" },
  90: { name: "user_canceled", received: "its user cancelled the handshake" },
  100: {
    name: "no_renegotiation",
    received: "it refuses to renegotiate",
    sent: "the server asked for a renegotiation; the device refused and the connection lives on",
  },
  109: {
    name: "missing_extension",
    received:
      "it misses an extension: it wants TLS 1.3 with (EC)DHE; let it take TLS 1.2, or allow PSK without DHE (allow_no_dhe_kex)",
  },
  110: {
    name: "unsupported_extension",
    received: "the device sent an extension that it did not ask for",
    sent: "the server answered an extension that the device did not offer",
  },
  111: {
    name: "certificate_unobtainable",
    received: "it did not get a certificate, though none is used here",
  },
  112: { name: "unrecognized_name", received: "it serves no host of that name" },
  113: {
    name: "bad_certificate_status_response",
    received: "it did not like a certificate, though none is used here",
  },
  114: {
    name: "bad_certificate_hash_value",
    received: "it did not like a certificate, though none is used here",
  },
  115: {
    name: "unknown_psk_identity",
    received: `${KEY_OR_IDENTITY}: look whether the identity is in the server's psk file, letter by letter`,
  },
  116: { name: "certificate_required", received: "it wants a certificate, though none is used here" },
  120: { name: "no_application_protocol", received: "it wants ALPN, which the device does not offer" },
};

/** Say in one sentence what an error code of the device means; undefined for a number that is no code. */
export function errorText(code: number): string | undefined {
  if (!Number.isInteger(code) || code < 1) return undefined;
  if (code >= codes.SENT && code < codes.SENT + 256) {
    const { name, sent } = alert(code - codes.SENT);
    return `The device ended the connection with alert ${code - codes.SENT} (${name}): ${sent ?? "it has no business to send this one; please report how it came about"}.`;
  }
  if (code >= codes.RECEIVED && code < codes.RECEIVED + 256) {
    const { name, received } = alert(code - codes.RECEIVED);
    return `The server sent alert ${code - codes.RECEIVED} (${name}): ${received}.`;
  }
  const connack = CONNACK[code - codes.MQTT_REFUSED];
  if (connack) return `The broker refused the MQTT connection: ${connack}.`;
  const name = (Object.keys(OWN) as (keyof typeof OWN)[]).find((own) => codes[own] === code);
  return name && OWN[name];
}

/** The name of a TLS alert by its number, as the RFCs write it. */
export function alertName(number: number): string {
  return alert(number).name;
}

function alert(number: number): Alert {
  return ALERTS[number] ?? { name: "unknown to the standards", received: "no standard says what it means" };
}

/** Find an error code in a line that the device printed (`E532`), or undefined. */
export function errorCode(line: string): number | undefined {
  const match = /^E(\d{1,3})$/.exec(line.trim());
  return match ? Number(match[1]) : undefined;
}
