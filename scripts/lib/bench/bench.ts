// The bench: many fixtures at once, each with its own port, device and unit, none waiting for another. It notices what is
// plugged in and out, takes scans and the start key, and tells every change as an event (interfaces.ts); the terminal,
// the operators' page and --json are listeners. A device that says which unfinished unit it is goes on by itself.
// Leaves out what is done to a unit (steps.ts) and how a device is spoken to (device.ts).
import { setTimeout as sleep } from "node:timers/promises";
import type { Board } from "../../../boards/board";
import { UsageError } from "../cli/exit";
import { type Identity, parseIdentity } from "../keys/identity";
import { checkValuesOf } from "../keys/kdf";
import { checkSerial, isInRange, type Range } from "../keys/serials";
import { Device, StepFailed } from "./device";
import type {
  BenchApi,
  BenchCommand,
  BenchEvent,
  BenchView,
  Failure,
  FixtureView,
  Operation,
  StepName,
} from "./interfaces";
import { isPresent, Port, PortClosed, pluggedIn } from "./port";
import { NoAnswer } from "./prompt";
import { enter, identityOf, type Job, STEP_TABLE, type Unit, unitKeys, wipe } from "./steps";

export interface BenchOptions extends Job {
  board: Board;
  operation: Operation;
  ports: readonly string[];
  /** Take USB serial ports as they are plugged in, beside `ports`. */
  watchUsb?: boolean;
  /** Take no serial outside. */
  range?: Range;
  /** Give each blank unit the next free serial of the range, and start without a key. */
  automatic?: boolean;
}

/** How often the bench looks whether something is plugged in. */
const LOOK_MS = 300;
/** Least time between two events that only tell progress. */
const PROGRESS_MS = 100;
const TOTAL_WEIGHT = STEP_TABLE.reduce((sum, { weight }) => sum + weight, 0);

export class Bench implements BenchApi {
  operation: Operation;
  readonly fixtures: Fixture[] = [];
  private readonly listeners = new Set<(event: BenchEvent) => void>();
  private readonly loops: Promise<void>[] = [];
  private isStopped = false;

  constructor(readonly options: BenchOptions) {
    this.operation = options.operation;
  }

  /** Watch the ports; returns at once. */
  start(): void {
    for (const port of this.options.ports) this.add(port);
    if (this.options.watchUsb) this.loops.push(this.watchUsb());
  }

  /** End it: runs that are on their way are cut, as an unplugging would. */
  async stop(): Promise<void> {
    this.isStopped = true;
    for (const fixture of this.fixtures) fixture.stop();
    await Promise.all(this.loops);
  }

  view(): BenchView {
    const { station, who, product, board, imageDigest, ledger } = this.options;
    return {
      station,
      who,
      product,
      board: board.name,
      imageDigest,
      operation: this.operation,
      fixtures: this.fixtures.map(({ view }) => ({ ...view })),
      today: ledger.today(station),
    };
  }

  subscribe(listener: (event: BenchEvent) => void): () => void {
    this.listeners.add(listener);
    listener({ kind: "bench", ...this.view() });
    return () => void this.listeners.delete(listener);
  }

  emit(event: BenchEvent): void {
    for (const listener of [...this.listeners]) listener(event);
  }

  command(command: BenchCommand): void {
    switch (command.command) {
      case "scan":
        return this.scan(command.serial, command.fixture);
      case "start":
        return this.startUnits(command.fixture);
      case "scrap":
        return this.scrap(command.serial, command.reason);
      case "operation":
        this.operation = command.operation;
        return this.emit({ kind: "bench", ...this.view() });
      case "clear":
        return this.fixture(command.fixture).clear();
    }
  }

  /** The identity that a serial gets on this bench. Throws UsageError. */
  identity(serial: string): Identity {
    const { product, keyVersion } = this.options;
    return parseIdentity(`v${keyVersion}.${product}.${checkSerial(serial)}`);
  }

  /** Throw a UsageError where this bench must not touch the serial. */
  checkSerial(serial: string): void {
    const { product, station, range, ledger } = this.options;
    this.identity(serial);
    if (range && !isInRange(serial, range))
      throw new UsageError(`${serial} is outside this bench's range, ${range.first}..${range.last}.`);
    if (ledger.unit(product, serial)?.state === "scrapped")
      throw new UsageError(`${serial} is scrapped, for ever.`);
    const holder = ledger.reservedFor(product, serial);
    if (holder !== undefined && holder !== station)
      throw new UsageError(`${serial} is reserved for ${holder}.`);
  }

  /** The next serial of the range that no unit has. */
  nextSerial(): string | undefined {
    const { range, ledger, product, station } = this.options;
    if (!range) return undefined;
    for (const serial of ledger.freeSerials(product, station, range)) if (!this.holder(serial)) return serial;
    return undefined;
  }

  private holder(serial: string): Fixture | undefined {
    return this.fixtures.find(({ view }) => view.serial === serial);
  }

  private fixture(number: number): Fixture {
    const fixture = this.fixtures[number - 1];
    if (!fixture) throw new UsageError(`there is no fixture ${number}.`);
    return fixture;
  }

  private scan(text: string, number: number | undefined): void {
    const serial = text.trim();
    this.checkSerial(serial);
    const holder = this.holder(serial);
    const isFree = ({ view }: Fixture) => view.state === "ready" && view.serial === undefined;
    const fixture = number === undefined ? (holder ?? this.fixtures.find(isFree)) : this.fixture(number);
    if (!fixture) throw new UsageError(`no fixture is waiting for a serial, so ${serial} was not taken.`);
    if (holder && holder !== fixture)
      throw new UsageError(`${serial} is at fixture ${holder.view.fixture} already.`);
    fixture.take(serial);
  }

  private startUnits(number: number | undefined): void {
    const chosen = number === undefined ? this.fixtures : [this.fixture(number)];
    const startable = chosen.filter((fixture) => fixture.canStart);
    if (!startable.length) throw new UsageError("no fixture has a device and a serial to start with.");
    for (const fixture of startable) fixture.begin();
  }

  private scrap(serial: string, reason: string): void {
    const { who, station, product, ledger } = this.options;
    this.identity(serial);
    if (this.holder(serial)?.view.state === "running")
      throw new UsageError(`${serial} is being worked on; wait or unplug it.`);
    if (!reason.trim()) throw new UsageError("a scrap needs a reason.");
    const known = ledger.unit(product, serial);
    ledger.append({
      type: "scrap",
      who,
      station,
      fixture: 0,
      serial,
      product,
      chip: known?.chip ?? "",
      operation: "scrap",
      imageDigest: "",
      keyVersion: known?.keyVersion ?? 0,
      checkValue: known?.checkValue ?? "",
      result: "scrapped",
      reason: reason.trim(),
      seconds: 0,
    });
    this.emit({ kind: "notice", level: "info", text: `${serial} is scrapped, for ever.` });
  }

  private add(port: string): void {
    const fixture = new Fixture(this, this.fixtures.length + 1, port);
    this.fixtures.push(fixture);
    this.loops.push(fixture.watch());
    this.emit({ kind: "fixture", ...fixture.view });
  }

  private async watchUsb(): Promise<void> {
    while (!this.isStopped) {
      const ports = await pluggedIn().catch(() => []);
      for (const port of ports) if (!this.fixtures.some(({ view }) => view.port === port)) this.add(port);
      await sleep(LOOK_MS);
    }
  }
}

class Fixture {
  readonly view: FixtureView;
  /** What is plugged in, whatever it is. */
  private plugged: Device | undefined;
  /** What is plugged in and can be worked on. */
  private device: Device | undefined;
  private running: Promise<void> | undefined;
  private isStopped = false;
  private lastEvent = 0;
  /** What was cut here by unplugging: goes on when the same device comes back. */
  private cut: { serial: string; chip?: string } | undefined;

  constructor(
    private readonly bench: Bench,
    fixture: number,
    port: string,
  ) {
    this.view = { fixture, port, state: "empty", operation: bench.operation, progress: 0, seconds: 0 };
  }

  get canStart(): boolean {
    const { state, serial } = this.view;
    return (state === "ready" || state === "failed") && serial !== undefined && this.device !== undefined;
  }

  stop(): void {
    this.isStopped = true;
    this.plugged?.close();
  }

  take(serial: string): void {
    if (this.view.state === "running") throw new UsageError(`fixture ${this.view.fixture} is at work.`);
    if (!this.device) throw new UsageError(`nothing is plugged into fixture ${this.view.fixture}.`);
    const own = this.ownSerial();
    if (own !== undefined && own !== serial)
      throw new UsageError(`the unit in fixture ${this.view.fixture} is ${own} already.`);
    this.set({ state: "ready", serial, failure: undefined, step: undefined, progress: 0 });
  }

  clear(): void {
    if (this.view.state === "running") throw new UsageError(`fixture ${this.view.fixture} is at work.`);
    this.set({ serial: undefined, failure: undefined, step: undefined });
  }

  /** Run the unit; settled when it is over, never rejected. */
  begin(): void {
    const { device, view } = this;
    if (!device || view.serial === undefined || this.running) return;
    this.running = this.run(device, view.serial).finally(() => {
      this.running = undefined;
    });
  }

  /** Plugged in, worked on, unplugged, for ever. */
  async watch(): Promise<void> {
    while (!this.isStopped) {
      const port = isPresent(this.view.port)
        ? await Port.open(this.view.port).catch(() => undefined)
        : undefined;
      if (port) {
        this.plugged = new Device(port, this.bench.options.board);
        // the bench may have been stopped while the port was opening
        if (this.isStopped) this.plugged.close();
        await this.attend(this.plugged);
        this.set(this.unplugged());
      }
      if (!this.isStopped) await sleep(LOOK_MS);
    }
  }

  /** Everything between plugging in and unplugging. */
  private async attend(device: Device): Promise<void> {
    this.set({ state: "detecting", failure: undefined, operation: this.bench.operation });
    while (device.port.isOpen && !this.isStopped) {
      try {
        await device.identify();
        device.checkBoard();
        break;
      } catch (error) {
        if (!device.port.isOpen) break;
        this.set({ state: "failed", step: "detect", failure: failureOf(error) });
        if (error instanceof StepFailed) break;
        await Promise.race([sleep(LOOK_MS), device.port.closed]);
      }
    }
    if (device.state && device.port.isOpen && !this.isStopped && this.view.failure?.code !== "wrong-board") {
      this.device = device;
      this.ready(device);
    }
    for (;;) {
      const { port } = device;
      await port.closed;
      await this.running;
      if (device.port === port || !device.port.isOpen) break;
    }
    this.device = undefined;
  }

  /** A device is there: whose unit it is, and whether it goes on by itself. */
  private ready(device: Device): void {
    const { chip } = device.state;
    const own = this.ownSerial();
    const { cut } = this;
    this.cut = undefined;
    const isSame = cut && (own === undefined ? chip !== undefined && chip === cut.chip : own === cut.serial);
    const serial = own ?? (isSame ? cut.serial : undefined);
    this.set({ state: "ready", chip, serial, failure: undefined, step: undefined, progress: 0, seconds: 0 });
    const { automatic, product, ledger } = this.bench.options;
    const isUnfinished = own !== undefined && ledger.unit(product, own)?.state === "begun";
    if (isSame || isUnfinished) return this.begin();
    if (!automatic) return;
    if (serial === undefined) this.set({ serial: this.bench.nextSerial() });
    if (this.view.serial === undefined)
      this.bench.emit({ kind: "notice", level: "error", text: "the range has no free serial any more." });
    this.begin();
  }

  /** The serial that the device itself names, of this bench's product. */
  private ownSerial(): string | undefined {
    const text = this.device?.state.identity;
    const identity = text === undefined ? undefined : identityOf(text);
    return identity?.product === this.bench.options.product ? identity.serial : undefined;
  }

  /** What stays to be seen when the device has gone: a passed or failed unit's tile is cleared, a cut one's remembered. */
  private unplugged(): Partial<FixtureView> {
    const { serial, chip, failure } = this.view;
    if (failure?.code === "unplugged" && serial !== undefined) {
      this.cut = { serial, chip };
      return { state: "empty" };
    }
    return {
      state: "empty",
      serial: undefined,
      chip: undefined,
      step: undefined,
      failure: undefined,
      progress: 0,
      seconds: 0,
      checkValue: undefined,
      keyVersion: undefined,
    };
  }

  // ----------------------------------------------------------------------------------------------- a run

  private async run(device: Device, serial: string): Promise<void> {
    const { options, operation } = this.bench;
    const startedAt = performance.now();
    this.set({
      state: "running",
      operation,
      step: "detect",
      progress: 0,
      seconds: 0,
      failure: undefined,
      checkValue: undefined,
      keyVersion: undefined,
    });
    const clock = setInterval(() => this.set({ seconds: (performance.now() - startedAt) / 1000 }), 1000);
    let unit: Unit | undefined;
    let failure: Failure | undefined;
    try {
      this.bench.checkSerial(serial);
      const identity = this.bench.identity(serial);
      const keys = await unitKeys(options, identity);
      unit = {
        job: options,
        device,
        fixture: this.view.fixture,
        operation,
        identity,
        keys,
        checkValues: checkValuesOf(keys),
        known: options.ledger.unit(options.product, serial),
        wrongPages: undefined,
        flashings: 0,
        changed: false,
        startedAt,
        steps: {},
        onProgress: () => {},
      };
      await this.runSteps(unit);
    } catch (error) {
      failure = failureOf(error);
    } finally {
      clearInterval(clock);
      if (unit) wipe(unit.keys);
    }
    this.end(unit, serial, operation, (performance.now() - startedAt) / 1000, failure);
  }

  private async runSteps(unit: Unit): Promise<void> {
    for (let i = 0; i < STEP_TABLE.length; i++) {
      const step = STEP_TABLE[i];
      const before = STEP_TABLE.slice(0, i).reduce((sum, { weight }) => sum + weight, 0);
      unit.onProgress = (share) =>
        this.set({ progress: (before + step.weight * Math.min(1, share)) / TOTAL_WEIGHT });
      this.set({
        step: step.name,
        progress: before / TOTAL_WEIGHT,
        chip: unit.device.state?.chip ?? this.view.chip,
      });
      const startedAt = performance.now();
      const tell = (result: "done" | "skipped" | "failed", failure?: Failure) => {
        const seconds = (performance.now() - startedAt) / 1000;
        unit.steps[step.name] = (unit.steps[step.name] ?? 0) + seconds;
        const { fixture, serial } = this.view;
        this.bench.emit({ kind: "step", fixture, serial, step: step.name, result, seconds, failure });
      };
      try {
        if (await step.isDone(unit)) tell("skipped");
        else {
          const back = await step.run(unit);
          tell("done");
          if (back) i = STEP_TABLE.findIndex(({ name }) => name === back) - 1;
        }
      } catch (error) {
        tell("failed", failureOf(error));
        throw error;
      }
    }
  }

  private end(
    unit: Unit | undefined,
    serial: string,
    operation: Operation,
    seconds: number,
    failure: Failure | undefined,
  ): void {
    const { fixture, step } = this.view;
    const keyVersion = unit?.identity.keyVersion;
    const checkValue = unit?.checkValues;
    if (failure && unit) this.enterFailure(unit, step, failure);
    this.set(
      failure
        ? { state: "failed", seconds, failure }
        : { state: "passed", seconds, step: undefined, progress: 1, checkValue, keyVersion },
    );
    this.bench.emit({
      kind: "result",
      fixture,
      serial,
      operation,
      result: failure ? "fail" : "pass",
      seconds,
      ...(failure ? { step, failure } : { checkValue, keyVersion }),
    });
    const { ledger, station } = this.bench.options;
    this.bench.emit({ kind: "yield", ...ledger.today(station) });
  }

  private enterFailure(unit: Unit, step: StepName | undefined, failure: Failure): void {
    try {
      enter(unit, { type: "unit", result: "fail", step, failure: failure.code });
    } catch (error) {
      this.bench.emit({ kind: "notice", level: "error", text: (error as Error).message });
    }
  }

  private set(change: Partial<FixtureView>): void {
    Object.assign(this.view, change);
    const isProgress = Object.keys(change).every((name) => name === "progress");
    const now = performance.now();
    if (isProgress && now - this.lastEvent < PROGRESS_MS) return;
    this.lastEvent = now;
    this.bench.emit({ kind: "fixture", ...this.view });
  }
}

/** The name and the sentence of what went wrong. Anything without a name is the bench's own fault, and is told so. */
function failureOf(error: unknown): Failure {
  if (error instanceof StepFailed) return { code: error.code, text: error.message };
  if (error instanceof NoAnswer) return { code: "no-answer", text: "the device does not answer." };
  if (error instanceof PortClosed) return { code: "unplugged", text: "the device went away." };
  if (error instanceof UsageError) return { code: "serial-taken", text: error.message };
  return { code: "internal", text: `the bench itself failed: ${(error as Error).message}` };
}
