// The network of boards with a W5500 (WIZnet W5500 datasheet) through Espruino's WIZnet library, which a
// build has with WIZNET=1. It needs a hardware SPI. The MAC address is made from the chip's serial number,
// locally administered, for the library gives every chip the same one; the address comes by DHCP. With no
// cable the library waits for ever in its connect: that is the watchdog's case. Leaves out static addresses.
import { board } from "board";
import { NETWORK_UP, type NetworkSettings, NO_NETWORK } from "../hal";

/** Asks for an address before the network counts as absent; each waits some seconds for DHCP. */
const TRIES = 3;

/** The chip's library once it is set up. */
let ethernet: any;

/** Tell the chip's address (Network in hal.ts). */
export function networkAddress(): string {
  return ethernet ? ethernet.getIP().ip : "";
}

/** Set up the chip and get an address (Network in hal.ts). */
export function networkUp(_settings: NetworkSettings, onEvent: (event: number) => void): void {
  setTimeout(() => {
    let tries = TRIES;
    try {
      SPI1.setup({ mosi: board.spiMosi, miso: board.spiMiso, sck: board.spiSck, baud: board.spiBaud });
      ethernet = require("WIZnet").connect(SPI1, board.spiCs);
      const serial = getSerial().replace("-", "");
      let mac = "02";
      for (let i = 0; i < 10; i += 2) mac += ":" + serial.substr(i, 2);
      ethernet.setIP({ mac: mac });
      while (tries && !ethernet.setIP()) tries--;
    } catch (_) {
      tries = 0;
    }
    onEvent(tries ? NETWORK_UP : NO_NETWORK);
  }, 0);
}
