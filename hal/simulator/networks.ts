// What brings a board onto the network: Espruino's `Wifi` library on the ESP boards and its `WIZnet` library
// for the W5500 (jswrap_wifi, jswrap_esp32_network, jswrap_wiznet). The access point and the cable are this
// machine. Leaves out access point mode and scans.
import { addEventMethods, type Emitters, type EventLoop } from "./events";

export interface NetworkFaults {
  /** Calls of Wifi.connect or setIP that fail before one works; Infinity: none does. */
  failures?: number;
  /** WIZnet.connect throws: no chip there. */
  noChip?: boolean;
  /** WIZnet.connect waits for ever: no cable. */
  noCable?: boolean;
}

/** The link of a board: whether it carries, and whether the radio is on. */
export class Link {
  up: boolean;
  radio: boolean;
  private failures: number;

  constructor(
    private loop: EventLoop,
    private emitters: Emitters,
    private faults: NetworkFaults,
    up: boolean,
    /** Called when the link goes down. */
    private onDown: () => void,
  ) {
    this.up = this.radio = up;
    this.failures = faults.failures ?? 0;
  }

  /** Cut the link, as an access point that goes away. */
  cut(): void {
    this.up = false;
    this.onDown();
  }

  wifi(): object {
    const info = { ip: "127.0.0.1", netmask: "255.0.0.0", gw: "127.0.0.1", mac: "02:00:00:00:00:01" };
    const library = {
      connect: (
        ssid: unknown,
        options?: { password?: unknown },
        callback?: (error: string | null) => void,
      ) => {
        if (typeof ssid !== "string") throw new Error("No SSID provided");
        if (options?.password !== undefined && typeof options.password !== "string") {
          throw new Error("Expecting options.password to be a string");
        }
        this.radio = true;
        setTimeout(() => {
          const failed = this.failures-- > 0 || !ssid;
          // Wi-Fi is stopped where nothing uses it (stopWifiIfIdle), and with it the radio
          this.up = this.radio = !failed;
          if (callback) this.loop.queue(() => callback(failed ? "no ap found" : null));
          if (!failed) this.emitters.emit(library, "connected", info);
        }, 1);
      },
      disconnect: (callback?: () => void) => {
        this.cut();
        this.radio = false;
        this.emitters.emit(library, "disconnected", {});
        if (callback) this.loop.queue(callback);
      },
      stopAP: (callback?: () => void) => callback && this.loop.queue(callback),
      setHostname: () => {},
      getStatus: () => ({ station: this.up ? "connected" : this.radio ? "connecting" : "off" }),
      getIP: (callback?: (error: null, details: object) => void) => {
        if (callback) this.loop.queue(() => callback(null, info));
        return info;
      },
    };
    addEventMethods(library, this.emitters);
    return library;
  }

  wiznet(spi: object): object {
    let mac = "00:08:DC:01:02:03";
    const ethernet = {
      setIP: (options?: { mac?: string }) => {
        if (options?.mac) {
          if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(options.mac))
            throw new Error(`simulator: MAC ${options.mac}`);
          mac = options.mac;
          return true;
        }
        return this.failures-- <= 0;
      },
      getIP: () => ({ ip: "127.0.0.1", subnet: "255.0.0.0", gateway: "127.0.0.1", dns: "127.0.0.1", mac }),
      getStatus: () => ({ state: "online", phylink: "up" }),
    };
    return {
      connect: (device: unknown, chipSelect: unknown) => {
        if (device !== spi) throw new Error("Expecting SPI device");
        if (typeof chipSelect !== "string" || !/^D\d+$/.test(chipSelect)) throw new Error("Invalid pin");
        if (this.faults.noChip) throw new Error("WIZnet Initialize failed.");
        while (this.faults.noCable);
        this.up = true;
        return ethernet;
      },
    };
  }
}
