// The simulated twin of mdbt42q-w5500: the same drivers and the same flash on this machine (hal/simulator).
import type { Board } from "./board";
import { board as original } from "./mdbt42q-w5500";

export const board: Board = { ...original, name: "mdbt42q-w5500-sim", simulates: "mdbt42q-w5500" };
