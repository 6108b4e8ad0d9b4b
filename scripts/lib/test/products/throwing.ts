/*
 * A product that fails in all that it does, for tests.
 */
export function start(): void {
  throw new Error("start");
}
export function online(): void {
  throw new Error("online");
}
export function command(): string {
  throw new Error("command");
}
export function telemetry(): string {
  throw new Error("telemetry");
}
export function well(): boolean {
  throw new Error("well");
}

export const everyS = 60;
export function every(): void {
  throw new Error("every");
}
export function stop(): void {
  throw new Error("stop");
}
