/*
 * The sequence numbers of ESP alone, as a bundle for tests: `sequence.next()`, `sequence.take(n)`, which checks and accepts, and `sequence.append(data)`
 * of the journal, for what else is written there.
 */
(global as unknown as { sequence: unknown }).sequence = {
  next: () => section(import("../../../../firmware/store/sequence")).next(),
  take: (n: number) => {
    section(import("../../../../firmware/store/sequence")).check(n);
    section(import("../../../../firmware/store/sequence")).accept(n);
  },
  append: (data: string) => section(import("../../../../firmware/store/journal")).append(data),
};
