// The TLS socket alone, for applications that are no part of the bundle (and for the tests): `tls.connect` stands
// where Espruino's `net.connect` would.
import { connect } from "./socket";

(global as any).tls = { connect: connect };
