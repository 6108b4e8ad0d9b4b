// From the pre-shared key to all that the handshake needs, a section: the key setup of EAP-PSK (RFC 4764, 3.1), both MACs (3.2), the keys of
// the session (3.2: a counter mode whose counters are added to an encrypted block). All of it when message 1 is there, so that neither AK
// nor KDK outlives this call. Leaves out the rest of the MSK, and the EMSK: nobody has a use for them.
import { aes } from "hal:aes128";
import { ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { key } from "../store/key";
import { IS_SMALL } from "../tls/tidy";
import { message1, setSecrets } from "./handshake";

/**
 * Answer message 1 (handshake.ts). Returns message 2 (RFC 4764, 5.2), an EAP packet, and leaves in handshake.ts what message 3 is checked
 * with.
 */
export default function keySchedule(): Bytes {
  // here the heap is at its fullest
  if (IS_SMALL) section(import("../tls/tidy")).tidy();
  const omac = section(import("../crypto/eax")).omac;
  const mixed = section(import("./counter_mode")).numbered;
  /* EAP header: code 1, identifier, length (2 bytes), type 47; then flags, RAND_S (16), ID_S */
  const identity = section(import("../store/settings")).readSettings().id as Bytes;
  const randS = message1.substr(6, 16);
  const idS = message1.substr(22);
  const randP = section(import("../crypto/ctr_drbg")).random(16);
  const zeros = "\0".repeat(16);
  let derived = mixed(key.substr(0, 16), E.toString(aes(ECB_ENCRYPT, key.substr(0, 16), zeros)), 2);
  // AK, and the block from which its subkeys are made
  const context = E.toString(derived.substr(0, 16), aes(ECB_ENCRYPT, derived.substr(0, 16), zeros));
  derived = derived.substr(16);
  // counter 1 is TEK, 2 to 5 are the MSK, of which 40 bytes are the records' (tls/keys.ts)
  derived = mixed(derived, E.toString(aes(ECB_ENCRYPT, derived, randP)), 4);
  setSecrets(E.toString(randS, omac(context, idS + randP), derived.substr(0, 56)));
  const length = 54 + identity.length;
  return E.toString(
    2,
    message1.substr(1, 1),
    0,
    length,
    47,
    0x40,
    randS,
    randP,
    omac(context, E.toString(identity, idS, randS, randP)),
    identity,
  );
}
