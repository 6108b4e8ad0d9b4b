/*
 * A product that has the store handled from outside, by the global `keeping`, for tests.
 */
import { keep, store, stored } from "device";

export function start(): void {
  (global as unknown as { keeping: object }).keeping = {
    store: (place: number, value: number) => store(place, value),
    stored: (place: number) => stored(place),
    keep: (isLast?: boolean) => keep(isLast),
  };
}
