// `npm run product -- new FOLDER`: a product of one's own, to begin with. The folder lies wherever one likes; it finds the project by the
// path between the two. Nothing that is there is written over.
import { existsSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { UsageError } from "../cli/exit";
import { print } from "../cli/wrap";
import { checkFolder, makeFolder, PUBLIC, writeNewFiles } from "../files/new_file";
import { PROJECT } from "../project";

const MAIN = `// A thermometer: a TMP102 or an LM75 on I2C1, SCL at D22, SDA at D21. \`up/temperature\` has degrees Celsius, retained.
import { publish, type Settings, setting, type Values } from "device";

// for Home Assistant: npm run discovery
export const values: Values = {
  temperature: { kind: "sensor", name: "Temperature", topic: "temperature", class: "temperature", unit: "°C" },
};

export const settings: Settings = {
  // tenths of a degree that are added: default, least, most
  offset: [0, -100, 100],
};

const ADDRESS = 0x48;

export function start(): void {
  I2C1.setup({ scl: D22, sda: D21, bitrate: 100000 });
}

export const everyS = 10;

export function every(): void {
  // register 0: whole degrees with their sign, then 1/256
  I2C1.writeTo(ADDRESS, 0);
  const bytes = I2C1.readFrom(ADDRESS, 2);
  const degrees = ((bytes[0] << 24) >> 24) + bytes[1] / 256 + setting("offset") / 10;
  publish("temperature", degrees.toFixed(1), 0, true);
}
`;

const TEST = `// The thermometer on a simulated board, with a broker behind TLS: npm run product -- test FOLDER
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ProductDevice } from "product_device";

test("it publishes what the sensor measures", async () => {
  const device = await ProductDevice.start({ product: fileURLToPath(new URL("../main.ts", import.meta.url)) });
  try {
    device.i2c(0x48, [21, 128]);
    await device.until(() => device.published("status").length > 0);
    await device.pass(11);
    await device.until(() => device.published("temperature").length > 0);
    assert.equal(device.published("temperature")[0], "21.5");
  } finally {
    await device.stop();
  }
});
`;

/** Files of the folder; \`project\`: the way from it to the project. */
function filesOf(project: string): Record<string, string> {
  const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
  return {
    "main.ts": MAIN,
    "test/main.test.ts": TEST,
    // the device's side: what the interpreter lacks is not known, nor is anything of Node
    "tsconfig.json": json({
      extends: `${project}/tsconfig.firmware.json`,
      compilerOptions: {
        noUnusedLocals: false,
        typeRoots: [`${project}/node_modules/@types`],
        paths: pathsTo(project),
      },
      include: ["*.ts", `${project}/hal/*.d.ts`, `${project}/firmware/boot/section.d.ts`],
      exclude: ["test"],
    }),
    "test/tsconfig.json": json({
      extends: `../${project}/tsconfig.json`,
      compilerOptions: {
        typeRoots: [`../${project}/node_modules/@types`],
        paths: {
          ...pathsTo(`../${project}`),
          product_device: [`../${project}/scripts/lib/product/product_device.ts`],
        },
      },
      include: ["*.ts", `../${project}/hal/interpreter.d.ts`, `../${project}/firmware/boot/section.d.ts`],
      exclude: [],
    }),
  };
}

/** What the firmware's own modules are called, from elsewhere. */
function pathsTo(project: string): Record<string, string[]> {
  return Object.fromEntries(Object.entries(PATHS).map(([name, path]) => [name, [`${project}/${path}`]]));
}

const PATHS = {
  board: "boards/linux.ts",
  product: "firmware/product/product.ts",
  device: "firmware/product/device.ts",
  "hal:aes128": "hal/espruino/native_aes.ts",
  "hal:digest": "hal/espruino/native_digest.ts",
  "hal:random_source": "hal/espruino/system_random.ts",
  "hal:tcp_socket": "hal/espruino/tcp_socket.ts",
  "hal:network": "hal/espruino/no_network.ts",
  "hal:flash": "hal/espruino/storage.ts",
  "hal:clock": "hal/espruino/runtime_clock.ts",
  "hal:system": "hal/espruino/linux_system.ts",
  "hal:serial": "hal/espruino/console_port.ts",
};

/** Make the folder, all of it or nothing. Throws UsageError where something is there, or none can be made. */
export function newProduct(path: string): void {
  const folder = resolve(path);
  checkFolder(folder);
  const isThere = existsSync(folder);
  if (isThere && readdirSync(folder).length > 0)
    throw new UsageError(`${path} is there already, and not empty: name another folder.`);
  makeFolder(join(folder, "test"));
  try {
    const project = relative(realpathSync(folder), realpathSync(PROJECT));
    writeNewFiles(
      Object.entries(filesOf(project)).map(([name, text]) => {
        return { path: join(folder, name), bytes: Buffer.from(text), mode: PUBLIC };
      }),
    );
  } catch (error) {
    rmSync(isThere ? join(folder, "test") : folder, { recursive: true });
    throw error;
  }
  print(
    `${path} has a thermometer, main.ts, and its test.\n\n` +
      `  npm start -- --product ${path}/main.ts      runs it here; then type: i2c 0x48 21 128\n` +
      `  npm run product -- test ${path}             runs its test\n` +
      `  npm run product -- check ${path}            holds it to its types, and says what it costs`,
  );
}
