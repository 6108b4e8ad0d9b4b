// What the builds of Espruino have in them, by the id of their board file, which is process.env.BOARD too: natives, libraries, memory. Taken
// from Espruino's boards folder (`libraries`, `makefile`) and the chips' manuals. A row for each board of
// ours.
/** What of the crypto library a build has. */
export type CryptoPart = "AES" | "SHA1" | "SHA224" | "SHA256" | "SHA384" | "SHA512";

export interface EspruinoBuild {
  crypto: readonly CryptoPart[];
  libraries: readonly ("net" | "Wifi" | "WIZnet" | "fs" | "TelnetServer")[];
  /** First address that E.getAddressOf gives. */
  ramStart: number;
  /** Ports that are globals. */
  ports: readonly string[];
  /** Register models that hal/simulator has of this chip. */
  chip: "esp32" | "esp32c3" | "esp32s3" | "nrf52832" | "none";
}

const ALL_CRYPTO: readonly CryptoPart[] = ["AES", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512"];

export const BUILDS: Record<string, EspruinoBuild> = {
  ESP32: {
    crypto: ALL_CRYPTO,
    libraries: ["net", "Wifi", "TelnetServer"],
    ramStart: 0x3ffb0000,
    ports: ["Serial1", "Serial2", "LoopbackA", "LoopbackB"],
    chip: "esp32",
  },
  ESP32_IDF4: {
    crypto: [],
    libraries: ["net", "Wifi"],
    ramStart: 0x3ffb0000,
    ports: ["Serial1", "Serial2", "LoopbackA", "LoopbackB"],
    chip: "esp32",
  },
  // the chip's own USB port is its Serial1 (targets/esp32/jshardwareUart.c, ESPR_USE_USB_SERIAL_JTAG)
  ESP32C3_IDF4: {
    crypto: ALL_CRYPTO,
    libraries: ["net", "Wifi"],
    ramStart: 0x3fc80000,
    ports: ["Serial1", "LoopbackA", "LoopbackB"],
    chip: "esp32c3",
  },
  ESP32S3_IDF4: {
    crypto: ALL_CRYPTO,
    libraries: ["net", "Wifi", "TelnetServer"],
    ramStart: 0x3fc88000,
    ports: ["Serial1", "Serial2", "LoopbackA", "LoopbackB"],
    chip: "esp32s3",
  },
  MDBT42Q: {
    crypto: ["SHA1", "SHA224", "SHA256"],
    libraries: ["net", "WIZnet"],
    ramStart: 0x20003000,
    ports: ["Serial1", "LoopbackA", "LoopbackB"],
    chip: "nrf52832",
  },
  LINUX: {
    crypto: ALL_CRYPTO,
    libraries: ["net", "fs"],
    ramStart: 0x10000000,
    ports: ["Serial1", "USB", "LoopbackA", "LoopbackB"],
    chip: "none",
  },
};
