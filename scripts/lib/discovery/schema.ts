// What Home Assistant takes as MQTT discovery of a device (home-assistant.io/integrations/mqtt, "Device discovery payload", and
// the page of each component), as far as our messages go: which members there may be, which there must be, what they may be.
// What is not here is refused, so that nothing is published that it would pass over without a word.
// Leaves out: components and options that no product here has.

type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === "string" && value.length > 0;
const number: Check = (value) => typeof value === "number" && Number.isFinite(value);
const oneOf =
  (...values: readonly string[]): Check =>
  (value) =>
    values.includes(value as string);
const topic: Check = (value) => text(value) && !/[+#\0]/.test(value as string);
const texts: Check = (value) => Array.isArray(value) && value.length > 0 && value.every(text);

/** Units of the device classes of sensors. */
const UNITS: Readonly<Record<string, readonly string[]>> = {
  temperature: ["°C", "°F", "K"],
  humidity: ["%"],
  moisture: ["%"],
  battery: ["%"],
  atmospheric_pressure: ["hPa", "kPa", "Pa", "mbar", "bar", "mmHg", "inHg", "psi"],
  pressure: ["hPa", "kPa", "Pa", "mbar", "bar", "mmHg", "inHg", "psi"],
  water: ["L", "m³", "ft³", "CCF", "gal"],
  volume: ["L", "mL", "m³", "gal"],
  volume_flow_rate: ["L/min", "L/h", "L/s", "m³/h"],
  voltage: ["V", "mV"],
  current: ["A", "mA"],
  power: ["W", "kW"],
  energy: ["Wh", "kWh"],
  duration: ["s", "min", "h", "d", "ms"],
  illuminance: ["lx"],
  carbon_dioxide: ["ppm"],
  distance: ["mm", "cm", "m", "km"],
  weight: ["g", "kg"],
};

/** Members of every component; required ones without a question mark. */
const COMMON: Readonly<Record<string, Check>> = {
  platform: text,
  unique_id: text,
  name: text,
  "device_class?": text,
  "entity_category?": oneOf("config", "diagnostic"),
  "value_template?": text,
};

/** Members of each component beside those. */
const COMPONENTS: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  sensor: {
    state_topic: topic,
    "device_class?": oneOf(...Object.keys(UNITS)),
    "unit_of_measurement?": text,
    "state_class?": oneOf("measurement", "total", "total_increasing"),
  },
  binary_sensor: { state_topic: topic, "payload_on?": text, "payload_off?": text },
  switch: {
    command_topic: topic,
    "state_topic?": topic,
    "payload_on?": text,
    "payload_off?": text,
    "device_class?": oneOf("outlet", "switch"),
  },
  valve: {
    command_topic: topic,
    "state_topic?": topic,
    "payload_open?": text,
    "payload_close?": text,
    "state_open?": text,
    "state_closed?": text,
    "device_class?": oneOf("water", "gas"),
  },
  number: {
    command_topic: topic,
    "state_topic?": topic,
    "min?": number,
    "max?": number,
    "unit_of_measurement?": text,
    "device_class?": oneOf(...Object.keys(UNITS)),
  },
  button: {
    command_topic: topic,
    "payload_press?": text,
    "device_class?": oneOf("identify", "restart", "update"),
  },
};

const DEVICE: Readonly<Record<string, Check>> = {
  identifiers: texts,
  "name?": text,
  "model?": text,
  "serial_number?": text,
  "sw_version?": text,
};
const ORIGIN: Readonly<Record<string, Check>> = { name: text, "sw_version?": text, "support_url?": text };
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const MESSAGE: Readonly<Record<string, Check>> = {
  device: isObject,
  origin: isObject,
  components: isObject,
  "availability_topic?": topic,
  "payload_available?": text,
  "payload_not_available?": text,
  "qos?": (value) => value === 0 || value === 1 || value === 2,
};

/** Say what is wrong with a device's discovery message; undefined where Home Assistant takes it whole. */
export function discoveryFault(message: Record<string, unknown>): string | undefined {
  const { device, origin, components } = message;
  const outer =
    faultOf("the message", message, MESSAGE) ??
    faultOf("device", device as Record<string, unknown>, DEVICE) ??
    faultOf("origin", origin as Record<string, unknown>, ORIGIN);
  if (outer) return outer;
  for (const [name, component] of Object.entries(components as object)) {
    const fault = componentFault(name, component);
    if (fault) return fault;
  }
  return undefined;
}

function componentFault(name: string, component: Record<string, unknown>): string | undefined {
  const own = COMPONENTS[component.platform as string];
  if (!own) return `${name} is no ${Object.keys(COMPONENTS).join(", ")}`;
  const units = UNITS[component.device_class as string];
  const unit = component.unit_of_measurement;
  const isWithUnit = "unit_of_measurement?" in own;
  const unitFault =
    isWithUnit && units && !units.includes(unit as string)
      ? `${name} of class ${component.device_class} has the unit ${unit}, and may have ${units.join(", ")}`
      : undefined;
  return faultOf(name, component, { ...COMMON, ...own }) ?? unitFault;
}

function faultOf(
  name: string,
  value: Record<string, unknown>,
  checks: Readonly<Record<string, Check>>,
): string | undefined {
  const missing = Object.keys(checks).find((key) => !key.endsWith("?") && value[key] === undefined);
  if (missing) return `${name} has no ${missing}`;
  for (const [key, member] of Object.entries(value)) {
    const check = checks[`${key}?`] ?? checks[key];
    if (!check) return `${name} may have no ${key}`;
    if (!check(member)) return `${name} has a ${key} of ${JSON.stringify(member)}`;
  }
  return undefined;
}
