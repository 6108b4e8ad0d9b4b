// What a product's values are, for whoever shows them: a table `values` in the product's file, out of which
// `npm run discovery` makes messages. Types only: a device sends nothing for it, and no bundle holds the table.

export interface ProductValue {
  kind: "sensor" | "binary_sensor" | "switch" | "valve" | "number" | "button";
  /** For people. */
  name: string;
  /** `up/<topic>` has it; a button has none. */
  topic?: string;
  /** Member of the JSON object that lies there; without it the payload is the value. */
  member?: string;
  /** What is measured or switched, in Home Assistant's words: temperature, humidity, water, ... */
  class?: string;
  unit?: string;
  /** How it runs: a measurement (the default of sensors with a unit), or a sum that only grows. */
  runs?: "measurement" | "total_increasing";
  /** `down/<command>` takes it. */
  command?: string;
  /** What stands for on, open or pressed, and what for off or closed; both ways. */
  on?: string;
  off?: string;
  /** Of a number that is set. */
  min?: number;
  max?: number;
}

/** By their names, which are a value's for good: letters, digits, - and _. */
export type ProductValues = Record<string, ProductValue>;
