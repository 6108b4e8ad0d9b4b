// What is done to a unit, as a table in order. Each step knows from what the device says whether it is done, and can be
// run again; so a unit that was cut anywhere goes on at the first step that is not done, and a unit that is finished
// goes through without a change. Only `flash`, `write-keys`, `lock` and an erase asked for by name change a device.
// Leaves out fixtures and who watches (bench.ts).

import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import type { DeviceKeys, KeySource } from "../custody/master";
import { TREE_LABEL } from "../keys/epoch_tree";
import { type Identity, parseIdentity } from "../keys/identity";
import { checkValuesOf, PURPOSES } from "../keys/kdf";
import { strongKey } from "../keys/weak_keys";
import { type Device, StepFailed } from "./device";
import type { Ledger, LedgerEntry, LedgerUnit, Operation, StepName } from "./interfaces";
import { type DeviceSettings, settingsPlace } from "./settings_file";

/** What a bench works with, the same for all its units. */
export interface Job {
  /** What goes into Storage, from its first byte to the end of the last file (image.ts). */
  image: Buffer;
  /** Digest of the firmware in it (scripts/lib/ota/digest.ts), hex. */
  imageDigest: string;
  product: string;
  keyVersion: number;
  /** What goes into `conf` beside the identity. */
  settings: Omit<DeviceSettings, "id">;
  keys: KeySource;
  ledger: Ledger;
  who: string;
  station: string;
  writeLabel(label: { serial: string; product: string; identity: string }): Promise<unknown>;
}

/** A unit on its way through the steps. */
export interface Unit {
  job: Job;
  device: Device;
  fixture: number;
  operation: Operation;
  identity: Identity;
  keys: DeviceKeys;
  checkValues: string;
  /** What the ledger knew when the unit came. */
  known: LedgerUnit | undefined;
  /** Pages of Storage that were not the image's when it was read back last; undefined: not read in this run. */
  wrongPages: number[] | undefined;
  flashings: number;
  /** This run has written something. */
  changed: boolean;
  startedAt: number;
  steps: Partial<Record<StepName, number>>;
  /** Tell how far the running step is, 0 to 1. */
  onProgress(share: number): void;
}

export interface Step {
  name: StepName;
  /** Seconds that it takes as a rule: its share of the bar. */
  weight: number;
  isDone(unit: Unit): boolean | Promise<boolean>;
  /** Do it; the name of an earlier step sends the unit back there. Throws StepFailed. */
  run(unit: Unit): Promise<StepName | undefined>;
}

const FLASHINGS_MAX = 3;
const READINGS = 2;
const never = () => false;
const isLocked = ({ device }: Unit) => device.state.mode === "locked";

export const STEP_TABLE: readonly Step[] = [
  { name: "detect", weight: 0.5, isDone: never, run: detect },
  { name: "flash", weight: 4, isDone: hasImage, run: flash },
  { name: "verify", weight: 3, isDone: (unit) => isLocked(unit) || isImage(unit), run: verify },
  { name: "self-test", weight: 1, isDone: isLocked, run: selfTest },
  { name: "write-keys", weight: 0.5, isDone: hasKeys, run: writeKeys },
  { name: "prove", weight: 1, isDone: never, run: prove },
  { name: "lock", weight: 1, isDone: never, run: lock },
  { name: "ledger", weight: 0.1, isDone: isInLedger, run: enterPass },
  { name: "label", weight: 0.1, isDone: never, run: label },
];

/**
 * Derive a unit's keys and refuse bad ones (R1): short, zero, repeated, published, two alike, or another serial's.
 * Throws StepFailed; the caller wipes what it gets.
 */
export async function unitKeys(job: Job, identity: Identity): Promise<DeviceKeys> {
  let keys: DeviceKeys | undefined;
  try {
    keys = await job.keys.deviceKeys(identity);
    for (const purpose of PURPOSES) strongKey(keys[purpose], `the ${purpose} key of ${identity.serial}`);
    const checks = new Set(PURPOSES.map((purpose) => keys?.[purpose].toString("hex")));
    if (checks.size < PURPOSES.length)
      throw new UsageError(`two of the four keys of ${identity.serial} are the same.`);
    const values = checkValuesOf(keys);
    const other = job.ledger.serialWithCheckValue(job.product, values, identity.keyVersion, identity.serial);
    if (other !== undefined)
      throw new UsageError(`${identity.serial} would get the keys that ${other} has already.`);
    return keys;
  } catch (error) {
    if (keys) wipe(keys);
    if (error instanceof UsageError) throw new StepFailed("bad-key", error.message);
    throw error;
  }
}

/** Overwrite keys that are no longer needed. */
export function wipe(keys: DeviceKeys): void {
  for (const purpose of PURPOSES) keys[purpose].fill(0);
}

// ---------------------------------------------------------------------------------------------------- steps

async function detect(unit: Unit): Promise<undefined> {
  const { device, identity, known, operation, job } = unit;
  await device.identify();
  device.checkBoard();
  // cut between its keys and its restart: now it locks itself, or wipes what is torn
  if (device.state.keyFile === "some") await device.restart();
  const { state } = device;
  if (known?.state === "scrapped")
    throw new StepFailed("scrapped", `${identity.serial} is scrapped, for ever.`);
  if (known?.chip && state.chip && known.chip !== state.chip)
    throw new StepFailed(
      "serial-taken",
      `${identity.serial} belongs to another unit, whose chip is ${known.chip}.`,
    );
  const own = state.identity === undefined ? undefined : identityOf(state.identity);
  const isOther = own && (own.serial !== identity.serial || own.product !== identity.product);
  const isBound =
    state.checkValues !== undefined || (own && job.ledger.unit(own.product, own.serial)?.chip === state.chip);
  if (isOther && isBound) throw new StepFailed("other-serial", `this unit is ${own.serial} already.`);
  if (state.checkValues === undefined || !own) return undefined;
  if (own.keyVersion === identity.keyVersion && operation !== "rework") return undefined;
  // what holds keys is erased only where that was asked for by name
  if (operation === "provision")
    throw new StepFailed(
      "keys-differ",
      `this unit has keys of version ${own.keyVersion}; only a re-key changes them.`,
    );
  if (operation === "rekey" && own.keyVersion !== identity.keyVersion - 1)
    throw new StepFailed(
      "keys-differ",
      `this unit has keys of version ${own.keyVersion}, and a re-key goes one up, not to ${identity.keyVersion}.`,
    );
  // the same root, or the same key of ESP, once more: its keys or its sequence numbers would come again from the first
  const { pskLabel } = job.keys;
  if (
    own.keyVersion === identity.keyVersion &&
    (pskLabel === "esp" || (pskLabel === TREE_LABEL && (await device.nextEpoch()) !== 0))
  )
    throw new StepFailed(
      "keys-differ",
      `this unit has had sessions under its keys of version ${own.keyVersion}: a rework takes a new version, --key-version ${own.keyVersion + 1}.`,
    );
  unit.changed = true;
  const old = await job.keys.deviceKeys(own);
  try {
    await device.erase(old.console);
  } finally {
    wipe(old);
  }
  return undefined;
}

function isImage({ wrongPages }: Unit): boolean {
  return wrongPages?.length === 0;
}

async function hasImage(unit: Unit): Promise<boolean> {
  if (isLocked(unit)) return true;
  await readBack(unit);
  return isImage(unit);
}

async function readBack(unit: Unit): Promise<number[]> {
  const { device, job, onProgress } = unit;
  return (unit.wrongPages = await device.wrongPages(job.image, onProgress, unit.wrongPages));
}

/** All of it into erased flash; but pages that did not arrive there in this run once more by themselves. */
async function flash(unit: Unit): Promise<undefined> {
  const { device, job, onProgress } = unit;
  unit.changed = true;
  let pages: number[] | undefined = unit.wrongPages;
  // without its first page Storage is laid out wrongly, or was wiped
  if (unit.flashings++ === 0 || !pages || pages.includes(0)) {
    pages = undefined;
    await device.eraseFlash();
  } else await device.erasePages(pages);
  await device.writePages(job.image, onProgress, pages);
  unit.wrongPages = pages;
  return undefined;
}

async function verify(unit: Unit): Promise<StepName | undefined> {
  // noise may have hit what was read, and not what was written
  for (let attempt = 0; attempt < READINGS && !isImage(unit); attempt++) await readBack(unit);
  if (isImage(unit)) return undefined;
  if (unit.flashings < FLASHINGS_MAX) return "flash";
  throw new StepFailed(
    "digest-differs",
    "what was read back is not the image, after three times of writing.",
  );
}

/** Does the firmware start, and is the board sound. */
async function selfTest(unit: Unit): Promise<StepName | undefined> {
  const { device, identity, job } = unit;
  // what was just written starts now; a record that is there already shows what it is: torn, it is wiped
  await device.restart();
  if (device.state.mode === "locked") return undefined;
  if (!(await device.hasProgram(job.image))) {
    unit.wrongPages = undefined;
    return "flash";
  }
  // the radio is tested with the settings
  const settings: DeviceSettings = { id: identity.text, ...job.settings };
  await device.writeSettings(settingsPlace(settings));
  device.state.identity = identity.text;
  await device.startProgram(job.image);
  await device.selfTest();
  return undefined;
}

function hasKeys({ device, checkValues, identity }: Unit): boolean {
  const { state } = device;
  if (state.checkValues === undefined) return false;
  if (state.checkValues === checkValues && state.identity === identity.text) return true;
  throw new StepFailed("keys-differ", "the device holds other keys than those of this serial.");
}

async function writeKeys(unit: Unit): Promise<undefined> {
  const { device, keys } = unit;
  unit.changed = true;
  enter(unit, { type: "begin", result: "begun" });
  await device.writeKeys(keys);
  return undefined;
}

/** The keys prove themselves through the firmware that was built to use them, so it starts first. */
async function prove(unit: Unit): Promise<undefined> {
  const { device, keys, job } = unit;
  if (!isLocked(unit)) {
    unit.changed = true;
    await device.restart();
  }
  if (!isLocked(unit))
    throw new StepFailed("keys-refused", "the device came up without keys: the record was not whole.");
  await device.prove(keys, job.keys.pskLabel);
  return undefined;
}

async function lock(unit: Unit): Promise<undefined> {
  const { device, identity, checkValues } = unit;
  await device.checkLocked();
  if (device.state.identity !== identity.text || device.state.checkValues !== checkValues)
    throw new StepFailed("keys-differ", "after the restart the device names another identity or other keys.");
  return undefined;
}

function isInLedger({ changed, known, identity, checkValues }: Unit): boolean {
  return (
    !changed &&
    known?.state === "passed" &&
    known.keyVersion === identity.keyVersion &&
    known.checkValue === checkValues
  );
}

async function enterPass(unit: Unit): Promise<undefined> {
  const { known, job, identity } = unit;
  // a unit that was finished under another ledger, or cut right after its keys, is bound here and now
  const now = job.ledger.unit(job.product, identity.serial);
  if (!now || now.keyVersion < identity.keyVersion) enter(unit, { type: "begin", result: "begun" });
  enter(unit, { type: "unit", result: "pass" }, known?.imageDigest);
  return undefined;
}

async function label({ job, identity }: Unit): Promise<undefined> {
  try {
    await job.writeLabel({ serial: identity.serial, product: identity.product, identity: identity.text });
  } catch (error) {
    throw new StepFailed("label", `the label could not be written: ${fileFault(error)}`);
  }
  return undefined;
}

// --------------------------------------------------------------------------------------------------- ledger

/** Write an entry about a unit. Throws StepFailed with the ledger's sentence. */
export function enter(
  unit: Unit,
  entry: Pick<LedgerEntry, "type" | "result"> & Partial<LedgerEntry>,
  oldDigest?: string,
): void {
  const { job, device, identity, known } = unit;
  try {
    job.ledger.append({
      who: job.who,
      station: job.station,
      fixture: unit.fixture,
      serial: identity.serial,
      product: identity.product,
      chip: device.state?.chip ?? known?.chip ?? "",
      operation: unit.operation,
      // a locked unit cannot be read back: it has what its beginning says
      imageDigest: (isImage(unit) && job.imageDigest) || oldDigest || known?.imageDigest || "",
      keyVersion: identity.keyVersion,
      checkValue: unit.checkValues,
      seconds: (performance.now() - unit.startedAt) / 1000,
      steps: unit.steps,
      ...entry,
    });
  } catch (error) {
    throw new StepFailed("ledger", `the ledger: ${(error as Error).message}`);
  }
}

/** The identity that a device names, if it is one. */
export function identityOf(text: string): Identity | undefined {
  try {
    return parseIdentity(text);
  } catch {
    return undefined;
  }
}
