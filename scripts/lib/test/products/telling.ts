// A product for tests of the profile `peer` on the interpreter: it commands the device that its setting names, again and again, with a payload of
// 200 bytes, and publishes what is answered.
import { publish, type Settings, setting, tell } from "device";

export const settings: Settings = { peer: ["B2", 0, 20] };

let count = 0;

export const everyS = 1;

export function every(): void {
  if (tell(setting("peer"), "valve", `${count}`.padEnd(200, "v"))) count++;
}

export function answer(name: string, payload: string): void {
  publish(name, payload);
}
