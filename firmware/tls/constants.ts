// Numbers of TLS 1.2 that several modules share: RFC 5246, 6.2.1 and 7.4, RFC 5746, RFC 6066, RFC 7366, RFC 7627,
// RFC 8449.

/** ContentType */
export const CHANGE_CIPHER_SPEC = 20;
export const ALERT = 21;
export const HANDSHAKE = 22;
export const APPLICATION_DATA = 23;

/** AlertLevel */
export const WARNING = 1;
export const FATAL = 2;

/** AlertDescription that ends nothing, whatever its level (RFC 8446, 6.1) */
export const USER_CANCELED = 90;

/** HandshakeType */
export const HELLO_REQUEST = 0;
export const SERVER_HELLO = 2;
export const SERVER_KEY_EXCHANGE = 12;
export const SERVER_HELLO_DONE = 14;
export const FINISHED = 20;

/** ExtensionType */
export const MAX_FRAGMENT_LENGTH = 1;
export const ENCRYPT_THEN_MAC = 22;
export const EXTENDED_MASTER_SECRET = 23;
export const RECORD_SIZE_LIMIT = 28;
export const RENEGOTIATION_INFO = 0xff01;
