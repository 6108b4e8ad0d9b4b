// MDBT42Q module (nRF52832) with a W5500 on its SPI: the ECB peripheral for AES, native SHA-1 and SHA-256.
// Pages of the SoftDevice, Espruino, Storage, the SoftDevice's records and the bootloader as in Espruino's
// board file.
import type { Board } from "./board";

export const board: Board = {
  name: "mdbt42q-w5500",
  espruino: "MDBT42Q",
  chip: "nRF52832; Espruino built with WIZNET=1",
  aes128: "nrf_ecb",
  digest: "native_digest",
  randomSource: "nrf_rng",
  tcpSocket: "tcp_socket",
  network: "w5500",
  flash: "storage",
  clock: "runtime_clock",
  system: "nrf_system",
  serial: "console_port",
  entropyPerBit: 0.3,
  consolePort: "Serial1",
  consoleBaud: 9600,
  spiMosi: "D15",
  spiMiso: "D16",
  spiSck: "D14",
  spiCs: "D17",
  spiBaud: 8000000,
  variables: 2950,
  variableBytes: 13,
  socketChunk: 536,
  pageLength: 4096,
  writeLength: 4,
  flashLength: 0x80000,
  storageStart: 0x6c000,
  flashMap: [
    { name: "softdevice", start: 0x0, length: 0x1f000 },
    { name: "espruino", start: 0x1f000, length: 0x4d000 },
    { name: "storage", start: 0x6c000, length: 0xa000 },
    { name: "records", start: 0x76000, length: 0x2000 },
    { name: "bootloader", start: 0x78000, length: 0x8000 },
  ],
};
