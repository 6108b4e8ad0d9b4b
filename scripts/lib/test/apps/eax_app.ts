// For tests of crypto/: AES-128-EAX outside of a handshake. Built under the profile `akep2`.
import { eax, eaxKey, omac } from "../../../../firmware/crypto/eax";

(global as unknown as { eax: unknown }).eax = { eax: eax, eaxKey: eaxKey, omac: omac };
