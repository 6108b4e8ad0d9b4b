// For tests of crypto/: what AES-128-GCM is made of, outside of a record. Built under the profile `gcm`.
import { ctrTurn } from "../../../../firmware/crypto/ctr";
import { ghash } from "../../../../firmware/crypto/ghash";

(global as unknown as { gcm: unknown }).gcm = { ctrTurn: ctrTurn, ghash: ghash };
