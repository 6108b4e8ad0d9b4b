// The simulated twin of esp32: the same drivers and the same flash on this machine (hal/simulator).
import type { Board } from "./board";
import { board as original } from "./esp32";

export const board: Board = { ...original, name: "esp32-sim", simulates: "esp32" };
