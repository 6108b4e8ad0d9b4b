// What the bench runs on a blank device, a program of its own beside the firmware: no byte of it stays in the bundle. It lies
// in slot 1, until the first update, and is started at the interpreter's prompt, which is open there:
//
//   eval(require("Storage").read(".slots", <bytes of a slot>, <its length>))
//   provision("test")            self_test.ts, then the radio by the bench's settings in `conf`, then the noise
//   provision("key <record>")    writes the key record (key_record.ts), 76 bytes in base64
//
// Each prints one line when it is done: E and the code of what failed, E0 for nothing. Write-once: a whole record is never
// written over. The place for it is the first file of the image, 76 bytes of erased flash: then it is one flash operation and
// Storage is not changed, whose header, torn by a power cut, makes the interpreter erase everything at its next start.
import { flash } from "hal:flash";
import { networkUp } from "hal:network";
import { NETWORK_UP } from "../../hal/hal";
import { seed } from "../crypto/ctr_drbg";
import { SETTINGS_LIMIT } from "../profile";
import { CHECK_VALUES, checkValues, RECORD_LENGTH } from "../store/key_record";
import { FLASH_FAILED, INTERNAL_ERROR, KEY_REFUSED, REQUEST_UNKNOWN, SENT } from "../tls/alert";
import { testCrypto, testStorage } from "./self_test";

/** Run one part after the other and print the code of the first that throws; undefined: `next` prints it. */
function report(part: () => void, hasNext?: boolean): boolean {
  let code = 0;
  try {
    part();
    if (hasNext) return true;
  } catch (error) {
    code = (error as number) | 0 || SENT + INTERNAL_ERROR;
  }
  print("E" + code);
  return false;
}

/** Tell whether there is a whole record in `file`. */
function isRecord(file: string | undefined): boolean {
  return !!file && file.length === RECORD_LENGTH && checkValues(file) === file.substr(CHECK_VALUES);
}

global.provision = (request: string): void => {
  if (request === "test") {
    // noise comes last: on some chips it is true only while the radio is on
    let settings = {};
    const readSettings = () => {
      settings = JSON.parse(flash.read("conf", 0, SETTINGS_LIMIT) || "{}");
    };
    if (report(testCrypto, true) && report(testStorage, true) && report(readSettings, true))
      networkUp(settings, (event) =>
        report(() => {
          if (event !== NETWORK_UP) throw event;
          seed();
        }),
      );
    return;
  }
  report(() => {
    if (!request.startsWith("key ")) throw REQUEST_UNKNOWN;
    const record = atob(request.substr(4));
    if (isRecord(flash.read("key")) || !isRecord(record)) throw KEY_REFUSED;
    flash.write("key", record);
    if (flash.read("key") !== record) throw FLASH_FAILED;
  });
};
