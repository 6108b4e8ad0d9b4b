// What `npm run ota -- rekey` says of the keys: those that the devices have, and where the new ones come from.
import { PROFILE_OPTION } from "../bundle/profile_option";
import { oneOf, option, options } from "../cli/options";
import { DIGEST_OPTION } from "../custody/options";
import { SECRET_OPTIONS } from "../custody/secrets";
import { type Purpose, SCHEME_NAMES } from "../keys/kdf";

const PLACE = "FILE|pkcs11:...";
const newMaster = (purpose: Purpose, otherwise = "") =>
  option(PLACE, `the ${purpose} master of the new keys${otherwise}`);

/** The rows of a command's table. A passphrase goes by the name of its option. */
export const REKEY_KEYS_OPTIONS = {
  ota: option(PLACE, "the ota master of the keys that the devices have"),
  rekey: option(PLACE, "their rekey master"),
  "new-psk": newMaster("psk"),
  "new-ota": newMaster("ota", "; default that of --ota"),
  "new-console": newMaster("console"),
  "new-rekey": newMaster("rekey", "; default that of --rekey"),
  batch: options(
    "FILE",
    "the new keys from a batch (npm run keys -- batch) instead of masters; repeat it for its parts",
  ),
  digest: DIGEST_OPTION,
  "factory-key": option("FILE", "with --batch: the private key that it is sealed for"),
  scheme: option(
    "NAME",
    `how the keys that the devices have are derived: ${SCHEME_NAMES.join(", ")}; default kdf, or what the master's place says`,
    oneOf(SCHEME_NAMES),
  ),
  profile: PROFILE_OPTION,
  "new-scheme": option("NAME", "and the new ones; default the same", oneOf(SCHEME_NAMES)),
  ...SECRET_OPTIONS,
};
