/*
 * A product that works and says that it is not well, for tests.
 */
export function well(): boolean {
  return false;
}
