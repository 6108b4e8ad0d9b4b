// A Sensirion SHT3x on I2C1, address 0x44, SCL at D22, SDA at D21 (its data sheet, SHT3x-DIS, 4): single shots without clock stretching, each read
// at the next of our times, ten seconds later, so that nothing waits for it. `up/climate` has
// `{"temperature":21.50,"humidity":40.2}`, degrees Celsius and per cent, retained; telemetry has the measurements that failed in a row, `faults`:
// a sensor that does not answer, or a CRC that is false. After three it is reset by its own command. An update
// is confirmed when it has measured once. Leaves out the alert pin, the heater, and the second address.
import { publish, type Settings, setting, type Values } from "device";

export const values: Values = {
  temperature: {
    kind: "sensor",
    name: "Temperature",
    topic: "climate",
    member: "temperature",
    class: "temperature",
    unit: "°C",
  },
  humidity: {
    kind: "sensor",
    name: "Humidity",
    topic: "climate",
    member: "humidity",
    class: "humidity",
    unit: "%",
  },
};

export const settings: Settings = {
  // a message for every so many measurements
  publishEach: [6, 1, 8640],
  // hundredths of a degree that are added, for a sensor in a warm case
  offset: [0, -2000, 2000],
};

const ADDRESS = 0x44;
/** Single shot of high repeatability without clock stretching (table 9), soft reset (table 14). */
const MEASURE = [0x24, 0x00];
const SOFT_RESET = [0x30, 0xa2];
/** Failures in a row after which it is reset. */
const PATIENCE = 3;

/** Measurements that failed since the last good one; -1: there was none yet. */
let faults = -1;
let isMeasuring = false;
let isToReset = false;
/** Good ones since the last message. */
let count = 0;

/** The CRC of the word at `at` with the CRC behind it: 0 where that is right (4.12: polynomial 0x31, from 0xff on). */
function crcFault(bytes: Uint8Array, at: number): number {
  let crc = 0xff;
  for (let i = 0; i < 3; i++) {
    crc ^= bytes[at + i];
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc & 128 ? 0x131 : 0);
  }
  return crc;
}

export function start(): void {
  I2C1.setup({ scl: D22, sda: D21, bitrate: 100000 });
}

export const everyS = 10;

/** Read what was measured, and publish it. Throws where the sensor does not answer or the CRC is false. */
function read(): void {
  const bytes = I2C1.readFrom(ADDRESS, 6);
  if (crcFault(bytes, 0) || crcFault(bytes, 3)) throw new Error("CRC");
  // (4.13) over the largest word
  const temperature = -45 + (175 * ((bytes[0] << 8) | bytes[1])) / 65535 + setting("offset") / 100;
  const humidity = (100 * ((bytes[3] << 8) | bytes[4])) / 65535;
  const text = `{"temperature":${temperature.toFixed(2)},"humidity":${humidity.toFixed(1)}}`;
  // the first after failures at once
  if ((faults || ++count >= setting("publishEach")) && publish("climate", text, 0, true)) count = 0;
  faults = 0;
}

export function every(): void {
  const wasMeasuring = isMeasuring;
  isMeasuring = false;
  try {
    if (wasMeasuring) read();
    I2C1.writeTo(ADDRESS, isToReset ? SOFT_RESET : MEASURE);
    isMeasuring = !isToReset;
    isToReset = false;
  } catch (_) {
    faults = faults < 0 ? 1 : faults + 1;
    isToReset = !(faults % PATIENCE);
  }
}

export function telemetry(): string {
  return ',"faults":' + faults;
}

export function well(): boolean {
  return !faults;
}
