/*
 * The journal alone, as a bundle for tests: `journal.append(data)`, `journal.newest(kind)`, `journal.place()`.
 */
import { place } from "../../../../firmware/store/journal";

(global as unknown as { journal: unknown }).journal = {
  append: (data: string) => section(import("../../../../firmware/store/journal")).append(data),
  newest: (kind: number) => section(import("../../../../firmware/store/journal")).newest(kind),
  place: () => place,
};
