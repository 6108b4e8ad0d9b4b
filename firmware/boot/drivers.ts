// The board's drivers by name, for whoever looks at a chip from outside (scripts/lib/home/drivers.ts): a program of its own, sent over
// the line into RAM and gone at the next start. It puts what the board's data choose into the global `hal`; what is asked
// and what is right is known at the other end of the line. Leaves out the console's port, over which it is asked.
import { AES_CAN_DECRYPT, aes } from "hal:aes128";
import { now } from "hal:clock";
import { finish, update } from "hal:digest";
import { networkAddress, networkUp } from "hal:network";
import { noise } from "hal:random_source";
import { battery, HAS_BATTERY, resetCause, restart } from "hal:system";
import { tcpConnect } from "hal:tcp_socket";

(global as any).hal = {
  aes: aes,
  canDecrypt: AES_CAN_DECRYPT,
  now: now,
  update: update,
  finish: finish,
  networkAddress: networkAddress,
  networkUp: networkUp,
  noise: noise,
  hasBattery: HAS_BATTERY,
  battery: battery,
  resetCause: resetCause,
  restart: restart,
  tcpConnect: tcpConnect,
};
