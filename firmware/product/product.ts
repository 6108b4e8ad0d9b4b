// What a product may have, all of it optional: one module, firmware/product/echo.ts or the file that PRODUCT names at build time
// (scripts/lib/bundle/product.ts). What it is given is in device.ts. Its members are sections: between two events a product costs the
// heap what it keeps itself. What it lacks is false here, and what belongs to it folds away. An exception has a code by the
// member that threw it (tls/alert.ts), stands in the log and in telemetry, and ends neither the session nor the device.
// Leaves out values for people (values.ts).
import type { Bytes } from "../bytes";

/**
 * A product's settings, each by its name: letters, digits and _, at most 16. A number has its default, the least and the most that it
 * may be, whole numbers all; a text its default, and its least and greatest length in bytes. They are there with their defaults from
 * the first start of an image. `conf` shows and changes them; what was changed is kept by name, also while another image runs.
 */
export type Settings = Record<string, readonly [number, number, number] | readonly [string, number, number]>;
export declare const settings: Settings;
export declare const hasSettings: boolean;

/**
 * Called once at each start of the device, before there is a network. Where it throws on an image that is not confirmed yet the
 * device starts anew at once, and after the third such start the old image is back.
 */
export declare function start(): void;
export declare const hasStart: boolean;
/** Whether it sets watches or timers of its own. */
export declare const hasCallbacks: boolean;

/** Called in each session when the broker has accepted us and lets us listen to our commands. */
export declare function online(): void;
export declare const hasOnline: boolean;

/**
 * Carry out the command that came on `down/<name>`. What it returns is published on `up/<name>`: a text as it is, a number as a
 * code, `{"err":n}`; undefined: nothing.
 */
export declare function command(name: Bytes, payload: Bytes): Bytes | number | undefined;
export declare const hasCommand: boolean;

/**
 * Called every `everyS` seconds, the first time so long after the start, with a session or without; never before the last call has
 * returned. Seconds, a whole number from 1 on.
 */
export declare function every(): void;
export declare const everyS: number;
export declare const hasEvery: boolean;

/** Tell members that stand beside ours in telemetry: JSON with a comma before each, `,"litres":12`. */
export declare function telemetry(): string;
export declare const hasTelemetry: boolean;

/** Tell whether all is well: an update is confirmed only then; it is asked again at each tick. */
export declare function well(): boolean;
export declare const hasWell: boolean;

/** Called before the device starts anew: after an update, `reboot`, `factory`. Where power fails nobody calls it. */
export declare function stop(): void;
export declare const hasStop: boolean;

/**
 * Under the profile `peer`: take what another device has answered to the command `name` that it was told (device.ts, `tell`): what its
 * `command` returned, a text or a code, `{"err":n}`; empty where it returned nothing.
 */
export declare function answer(name: Bytes, payload: Bytes): void;
export declare const hasAnswer: boolean;

/** Whether the product uses these of device.ts. */
export declare const hasPublish: boolean;
export declare const hasStore: boolean;
export declare const hasTell: boolean;
