// The look at the keys that count, at each start, a section. Where they do not agree with their check values (key_record.ts) the
// cipher gives its known answers, and they are looked at again; then it is told, and that is all. The device goes on with them: a
// key that is damaged alone costs what that key does, and the next start may see all of them.
import { board } from "board";
import { EPOCHS } from "../profile";
import { key } from "../store/key";
import { CHECK_VALUES, RECORD_LENGTH } from "../store/key_record";
import { KEY_REFUSED } from "../tls/alert";

/** Look at the keys. Throws KEY_REFUSED, or what fails in the cipher. */
export default function checkKeys(): void {
  const lying = key.substr(CHECK_VALUES);
  // a tree's root is gone once it was used
  if (
    EPOCHS
      ? section(import("../store/key_record")).checkValues(key).substr(3) === lying.substr(3)
      : section(import("../store/key_record")).checkValues(key) === lying
  )
    return;
  section(import("./self_test")).testCrypto();
  const checks = section(import("../store/key_record")).checkValues(key);
  let i = 0;
  while (checks[i] === lying[i]) if (i++ > 10) return;
  // erased from there on: a cut has stopped the bench behind the last key, and what was to come is known
  if (lying.substr(++i) !== "\xff".repeat(RECORD_LENGTH - CHECK_VALUES - i)) throw KEY_REFUSED;
  require("Flash").write(checks, board.storageStart + 32 + CHECK_VALUES);
}
