// Numbers of TLS 1.3 that several modules share: RFC 8446, 4. Those that TLS 1.2 has as well stand in ../tls/constants.ts.

/** HandshakeType */
export const NEW_SESSION_TICKET = 4;
export const ENCRYPTED_EXTENSIONS = 8;
export const KEY_UPDATE = 24;
