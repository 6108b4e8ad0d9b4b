// Home Assistant's discovery of our devices: one retained message for each, made of the table `values` in the product's file
// (firmware/product/values.ts). The device sends nothing for it. Whether it is there is told by its `state`, "1" or "0".
// Leaves out: what the values are; devices, which need not be there yet.
import { existsSync } from "node:fs";
import { build } from "esbuild";
import type { ProductValue, ProductValues } from "../../../firmware/product/values";
import { UsageError } from "../cli/exit";
import { quoted } from "../cli/show";
import { discoveryFault } from "./schema";

/** By whom a message is, so that none of others is ever taken away. */
const ORIGIN = "tls-psk-firmware";

/** What every device tells (firmware/app/telemetry.ts). */
const OF_ALL: ProductValues = {
  error: { kind: "sensor", name: "Last error", topic: "status", member: "err" },
  sequence: { kind: "sensor", name: "Firmware sequence", topic: "status", member: "seq" },
};

/**
 * Read the table of a product's file, and nothing else of it: its code is for a device. Throws UsageError where there is none,
 * or one that Home Assistant would not take.
 */
export async function readValues(path: string): Promise<ProductValues> {
  if (!existsSync(path)) throw new UsageError(`there is no product ${path}.`);
  let code: string;
  try {
    const { outputFiles } = await build({
      stdin: { contents: `export { values } from ${JSON.stringify(path)}`, resolveDir: "/" },
      ...{ bundle: true, write: false, format: "esm", target: "node20", logLevel: "silent" },
      plugins: [
        {
          name: "values only",
          setup({ onResolve }) {
            onResolve({ filter: /.*/ }, ({ path: name, importer }) =>
              importer === "<stdin>"
                ? { path: name, sideEffects: false }
                : { path: name, external: true, sideEffects: false },
            );
          },
        },
      ],
    });
    code = outputFiles[0].text;
  } catch (error) {
    const [first] = (error as { errors?: { text: string }[] }).errors ?? [];
    throw new UsageError(
      `${path} has no table of its values: ${first?.text ?? (error as Error).message}. It is \`export const values\`.`,
    );
  }
  const { values } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  if (typeof values !== "object" || values === null)
    throw new UsageError(`${path} has no table of its values.`);
  const name = Object.keys(values).find((name) => !/^[\w-]{1,32}$/.test(name));
  if (name !== undefined)
    throw new UsageError(`${path}: the value ${quoted(name)} is not named by letters, digits, - and _.`);
  const fault = discoveryFault(discoveryMessage("product", "serial", values));
  if (fault) throw new UsageError(`${path}: ${fault}.`);
  return values;
}

/** The topic of a device's message. */
export function discoveryTopic(prefix: string, product: string, serial: string): string {
  return `${prefix}/device/${objectId(product, serial)}/config`;
}

/** The name of a device there: of letters, digits, - and _ only, and no other device's. What is another stands as its number. */
function objectId(product: string, serial: string): string {
  const safe = (text: string, other: RegExp) =>
    text.replace(other, (character) => `_${character.charCodeAt(0).toString(16)}_`);
  return `${safe(product, /[^A-Za-z0-9]/g)}-${safe(serial, /[^A-Za-z0-9-]/g)}`;
}

/** Make a device's message. */
export function discoveryMessage(
  product: string,
  serial: string,
  values: ProductValues,
): Record<string, unknown> {
  const id = objectId(product, serial);
  const base = `${product}/${serial}`;
  const components = Object.entries({ ...OF_ALL, ...values }).map(([name, value]) => [
    name,
    {
      ...componentOf(base, value),
      unique_id: `${id}_${name}`,
      ...(name in OF_ALL && !(name in values) ? { entity_category: "diagnostic" } : {}),
    },
  ]);
  return {
    device: { identifiers: [id], name: `${product} ${serial}`, model: product, serial_number: serial },
    origin: { name: ORIGIN },
    availability_topic: `${base}/state`,
    payload_available: "1",
    payload_not_available: "0",
    components: Object.fromEntries(components),
  };
}

/** Where a kind has its payloads for on and off; `state` where it has other members for what comes back. */
const PAYLOADS: Record<ProductValue["kind"], { on?: string; off?: string; state?: [string, string] }> = {
  sensor: {},
  number: {},
  binary_sensor: { on: "payload_on", off: "payload_off" },
  switch: { on: "payload_on", off: "payload_off" },
  valve: { on: "payload_open", off: "payload_close", state: ["state_open", "state_closed"] },
  button: { on: "payload_press" },
};

function componentOf(base: string, value: ProductValue): Record<string, unknown> {
  const { kind, name, topic, member, unit, runs, command, on, off, min, max } = value;
  const payloads = PAYLOADS[kind] ?? {};
  const state = payloads.state ?? [];
  const isSensor = kind === "sensor" && unit !== undefined;
  const all = {
    ...{ platform: kind, name, device_class: value.class, unit_of_measurement: unit, min, max },
    state_topic: topic && `${base}/up/${topic}`,
    command_topic: command && `${base}/down/${command}`,
    value_template: member && `{{ value_json.${member} }}`,
    state_class: runs ?? (isSensor ? "measurement" : undefined),
    [payloads.on ?? ""]: on,
    [payloads.off ?? ""]: off,
    [state[0] ?? ""]: on,
    [state[1] ?? ""]: off,
  };
  return Object.fromEntries(Object.entries(all).filter(([key, member]) => key && member !== undefined));
}

/** Whether what lies on a topic is a message of ours. */
export function isOurDiscovery(payload: Buffer): boolean {
  try {
    return JSON.parse(payload.toString("utf8")).origin?.name === ORIGIN;
  } catch {
    return false;
  }
}
