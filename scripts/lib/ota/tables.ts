// Tables for people: who runs what, and in a sentence what each code in it means.
import { errorText } from "../cli/error_text";
import type { DeviceStatus } from "./fleet";

/** Lay out rows under their heads; numbers to the right. */
export function tableText(heads: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const widths = heads.map((head, i) =>
    rows.reduce((most, row) => Math.max(most, String(row[i]).length), head.length),
  );
  const line = (cells: readonly (string | number)[]) =>
    cells
      .map((cell, i) =>
        typeof cell === "number" ? String(cell).padStart(widths[i]) : String(cell).padEnd(widths[i]),
      )
      .join("  ")
      .trimEnd();
  return [line(heads), ...rows.map(line)].join("\n");
}

const code = (value: number | undefined) => (value ? `E${value}` : "-");

/** One line a device, then how many run which sequence, then the sentences of the codes. */
export function fleetTable(devices: readonly DeviceStatus[]): string {
  if (devices.length === 0) return "no device has said anything";
  const rows = devices.map(({ serial, online, sequence, up, error, reverted, update }) => [
    serial,
    online === undefined ? "?" : online ? "on" : "off",
    sequence ?? "?",
    up ?? "?",
    code(error),
    code(reverted),
    update?.got === undefined ? code(update?.error) : `${update.got} pieces`,
  ]);
  const sequences = new Map<string, number>();
  for (const { sequence } of devices) {
    const name = sequence === undefined ? "sequence not told" : `sequence ${sequence}`;
    sequences.set(name, (sequences.get(name) ?? 0) + 1);
  }
  const codes = new Set(
    devices.flatMap(({ error, reverted, update }) => [error, reverted, update?.error].filter(Boolean)),
  );
  return [
    tableText(["serial", "line", "runs", "up, s", "error", "left", "update"], rows),
    "",
    ...[...sequences].map(([name, count]) => `${count} x ${name}`),
    ...[...codes].map((each) => `E${each}  ${errorText(each as number) ?? "no code of this version"}`),
  ].join("\n");
}
