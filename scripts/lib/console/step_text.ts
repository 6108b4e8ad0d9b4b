// Words for the steps that a device names in `status`, its log and its telemetry: how far it is, or was when it failed.
// The device sends the number; people read these. Leaves out what went wrong there: error_text.ts.

export interface Step {
  /** One or two words, for tables and diagrams. */
  word: string;
  /** What the device is doing, a clause that follows "it is". */
  doing: string;
  /** Which way what is sent at this step goes; absent: the device is busy by itself. */
  arrow?: "out" | "in";
}

/** By number. */
const STEPS: readonly Step[] = [
  { word: "idle", doing: "waiting for its next try" },
  { word: "network", doing: "joining the network" },
  { word: "noise", doing: "testing its noise source" },
  { word: "TCP", doing: "looking the server's name up and connecting by TCP", arrow: "out" },
  { word: "ClientHello", doing: "waiting for the server's hello", arrow: "out" },
  { word: "key exchange", doing: "making the keys of the session", arrow: "in" },
  { word: "Finished", doing: "waiting for the server to prove its key", arrow: "out" },
  { word: "MQTT", doing: "waiting for the broker to accept it", arrow: "out" },
  { word: "up", doing: "connected, and the broker has accepted it", arrow: "in" },
  { word: "update", doing: "taking an update" },
  { word: "console", doing: "answering at the console" },
];

/** The step at which the broker has accepted the device. */
export const STEP_UP = 8;
/** The steps from nothing to UP, in their order. */
export const HANDSHAKE_STEPS = [1, 2, 3, 4, 5, 6, 7, STEP_UP] as const;

/** Say what a step is; a number that is none says so. */
export function stepText(step: number): Step {
  return (
    STEPS[step] ?? { word: `step ${step}`, doing: `at a step ${step}, of which this version knows nothing` }
  );
}
