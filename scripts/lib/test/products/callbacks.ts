/*
 * A product whose timer and watch throw, for tests.
 */
export function start(): void {
  setTimeout(() => {
    throw new Error("timer");
  }, 1000);
  setWatch(
    () => {
      throw new Error("watch");
    },
    D5,
    { repeat: true, edge: "rising" },
  );
}
