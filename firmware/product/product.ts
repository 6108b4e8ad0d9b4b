// What a product may have, all of it optional: one module of functions, firmware/product/echo.ts or the file that PRODUCT names
// at build time (scripts/lib/bundle/product.ts). Each is a section: between two events a product costs the heap what it
// keeps itself. What it lacks is false here, and folds away. An exception has a code by the member that threw it (tls/alert.ts), stands
// in the log and in telemetry, and ends neither the session nor the device. Leaves out values for people (values.ts).
import type { Bytes } from "../bytes";

/** Called once at each start of the device, before there is a network. */
export declare function start(): void;
export declare const hasStart: boolean;

/** Called in each session when the broker has accepted us and lets us listen to our commands. */
export declare function online(): void;
export declare const hasOnline: boolean;

/**
 * Carry out the command that came on `down/<name>`. What it returns is published on `up/<name>`: a text as it is, a number as a
 * code, `{"err":n}`; undefined: nothing.
 */
export declare function command(name: Bytes, payload: Bytes): Bytes | number | undefined;
export declare const hasCommand: boolean;

/** Tell members that stand beside ours in telemetry: JSON with a comma before each, `,"litres":12`. */
export declare function telemetry(): string;
export declare const hasTelemetry: boolean;

/** Tell whether all is well: an update is confirmed only then; it is asked again at each tick. */
export declare function well(): boolean;
export declare const hasWell: boolean;
