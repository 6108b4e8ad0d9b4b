import type { Bytes } from "./bytes";
export const STATE = 1;
export const LOG = 2;
export let newestState: Bytes = "";
export let newestLog: Bytes = "";
export let number = 0;
export function newest(kind: number): Bytes {
  return kind === LOG ? newestLog : newestState;
}
export function append(data: Bytes): void {
  const record = E.toString(data, 0, 0, ++number >> 8, number);
  if (data.charCodeAt(0) === LOG) newestLog = record;
  else newestState = record;
}
