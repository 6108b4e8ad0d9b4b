/*
 * A product that counts its commands, tells them, refuses one, and is well after two, for tests.
 */
let commands = 0;
let sessions = 0;

export function online(): void {
  sessions++;
}
export function command(name: string, payload: string): string | number | undefined {
  commands++;
  return name === "refused" ? 30 : name === "silent" ? undefined : `${name} ${payload.length}`;
}
export function telemetry(): string {
  return `,"commands":${commands},"sessions":${sessions}`;
}
export function well(): boolean {
  return commands > 1;
}
