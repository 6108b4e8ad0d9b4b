// What a product's file may say of itself, held to before anything is built: its settings (firmware/product/product.ts), its own
// times, and that none of its members is meant and not exported. A fault is a sentence with file, line and what to do.
import { LINE_LIMIT, SETTINGS_LIMIT } from "../../../firmware/profile";
import { UsageError } from "../cli/exit";
import type { Node } from "./syntax";

/** Settings that every device has (firmware/store/settings.ts). */
const DEVICES_OWN = ["id", "host", "port", "ssid", "pass", "ems", "window", "battery"];
const NAME = /^[A-Za-z_]\w{0,15}$/;
const ROW = "a row is [default, least, most] of whole numbers, or [text, shortest, longest]";

type Row = [number | string, number, number];

/** Hold a product to it. `program`: its syntax tree, types stripped; `text`: its source; `file`: as people know it. */
export function checkMembers(program: Node, text: string, file: string): void {
  const fault = (what: string, near: RegExp, nth = 0): never => {
    const at = [...text.matchAll(new RegExp(near, "gm"))][nth]?.index ?? 0;
    throw new UsageError(`${file}:${text.slice(0, at).split("\n").length}: ${what}`);
  };
  const exported = (name: string): Node | undefined =>
    (program.body as Node[])
      .flatMap(({ declaration }) => (declaration?.declarations as Node[] | undefined) ?? [])
      .find(({ id }) => id.name === name)?.init;
  const isThere = (name: string): boolean =>
    (program.body as Node[]).some(({ declaration }) => declaration?.id?.name === name) || !!exported(name);
  checkTimes(exported("everyS"), isThere("every"), fault);
  const table = exported("settings");
  if (!table) return;
  if (table.type !== "ObjectExpression")
    fault(`the settings are no table: write { name: [default, least, most] }.`, /export const settings/);
  const longest: Record<string, unknown> = {};
  for (const { key, value } of table.properties as Node[]) {
    const name = String(key?.name ?? key?.value);
    const line = new RegExp(`^.*\\b${name.replace(/\W/g, "\\$&")}\\b["']?\\s*:`);
    if (!NAME.test(name))
      fault(`the setting "${name}" is badly named: 1 to 16 letters, digits and _, no digit first.`, line);
    if (DEVICES_OWN.includes(name))
      fault(`every device has a setting "${name}" already: give yours another name.`, line);
    if (name in longest) fault(`there are two settings "${name}": give one of them another name.`, line, 1);
    const row = rowOf(value);
    if (!row) fault(`the setting "${name}" is none: ${ROW}.`, line);
    const [standard, least, most] = row as Row;
    const size = typeof standard === "string" ? standard.length : standard;
    if (!(least <= size && size <= most))
      fault(`the default of "${name}" is not within its limits, ${least} to ${most}.`, line);
    const room = LINE_LIMIT - `conf set ${name} `.length;
    if (typeof standard === "string" && (least < 0 || most > room))
      fault(`"${name}" may be too long: a line of the console has room for ${room} bytes of it.`, line);
    longest[name] = typeof standard === "string" ? "x".repeat(most) : [least, most].sort(byLength)[1];
  }
  const bytes = JSON.stringify(longest).length;
  if (bytes > SETTINGS_LIMIT)
    fault(
      `the settings take up to ${bytes} bytes, and there is room for ${SETTINGS_LIMIT}: shorten them.`,
      /export const settings/,
    );
}

function byLength(one: number, other: number): number {
  return String(one).length - String(other).length;
}

function checkTimes(
  everyS: Node | undefined,
  hasEvery: boolean,
  fault: (what: string, near: RegExp) => never,
): void {
  const seconds = everyS && numberOf(everyS);
  if (hasEvery && everyS === undefined)
    fault("`every` is called every `everyS` seconds: export const everyS = 60.", /export function every/);
  if (!everyS) return;
  if (!hasEvery)
    fault("nothing is called every `everyS` seconds: export function every().", /export const everyS/);
  // a timer's time, in milliseconds, is of 31 bits
  if (!(Number.isInteger(seconds) && Number(seconds) >= 1 && Number(seconds) <= 86_400))
    fault("`everyS` is a whole number of seconds, 1 to 86400.", /export const everyS/);
}

function numberOf(node: Node): number | undefined {
  if (node.type === "UnaryExpression" && node.operator === "-") return -Number(numberOf(node.argument));
  return typeof node.value === "number" ? node.value : undefined;
}

function rowOf(value: Node | undefined): Row | undefined {
  if (value?.type !== "ArrayExpression" || value.elements.length !== 3) return undefined;
  const [first, ...limits] = value.elements as Node[];
  const standard = typeof first?.value === "string" ? first.value : first && numberOf(first);
  const row = [standard, ...limits.map((each) => each && numberOf(each))];
  const isWhole = (each: unknown): boolean => Number.isInteger(each) && Math.abs(Number(each)) < 2 ** 31;
  return (typeof standard === "string" || isWhole(standard)) && row.slice(1).every(isWhole)
    ? (row as Row)
    : undefined;
}
