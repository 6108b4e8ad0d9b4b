// An application with a TLS socket on the real interpreter: it sends records of 512 bytes to a server that gives them back, the next one when the last has
// come back whole.
import { loneBundle } from "../../../hal/simulator/lone_bundle";
import { IDENTITY, KEY } from "./device";
import { Engine } from "./engine";

export const SOCKET_RECORDS = 10;

/**
 * Start it beside `bundle`, that of firmware/tls/socket_app.ts. It prints `heap N` when the session stands, `error CODE`, and
 * `closed CODE SENT WRONG DRAINED`: the code or 0, records sent and of them altered, whether `drain` was told.
 */
export function startSocketApplication(bundle: string, port: number): Engine {
  // names of the bundle's top level are minified: those of the application are inside a function
  const application = `(function () {
    var size = 512, sent = 0, got = "", wrong = 0, drained = 0;
    function next() { sent++; got = ""; socket.write(String.fromCharCode(64 + sent).repeat(size)); }
    var socket = tls.connect({ host: "127.0.0.1", port: ${port} }, function () {
      print("heap " + process.memory().usage);
      next();
    });
    socket.on("data", function (data) {
      got += data;
      if (got.length < size) return;
      if (got != String.fromCharCode(64 + sent).repeat(size)) wrong++;
      if (sent < ${SOCKET_RECORDS}) next(); else socket.end();
    });
    socket.on("drain", function () { drained++; });
    socket.on("error", function (code) { print("error " + code); });
    socket.on("close", function (code) { print("closed", code || 0, sent, wrong, drained > 0); });
  })();`;
  return new Engine({
    ...loneBundle(bundle),
    ".boot0": 'setTimeout(function () { eval(require("Storage").read("app")); }, 1);',
    app: application,
    conf: JSON.stringify({ id: IDENTITY }),
    key: KEY.toString("latin1"),
  });
}
