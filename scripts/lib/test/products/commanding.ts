// A product for tests of the profile `peer`: it obeys as echo does, and commands by what a test calls.
import { tell } from "device";

export function start(): void {
  // biome-ignore lint/suspicious/noExplicitAny: a global of its own
  (global as any).tell = (serial: string, name: string, payload: string) => tell(serial, name, payload);
}

export function online(): void {
  print("granted");
}

export function command(name: string, payload: string): string | number | undefined {
  print(`obeyed ${name}`);
  if (name === "throw") throw new Error("thrown");
  return name === "code" ? 30 : name === "nothing" ? undefined : payload;
}

export function answer(name: string, payload: string): void {
  print(`${name}=${payload}`);
}
