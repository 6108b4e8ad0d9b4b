// The row of commands that provision devices for servers that lack extended_master_secret (RFC 7627): RabbitMQ, EMQX, VerneMQ. A device
// takes such a server where its setting `ems` is 0, which nobody sets at its console afterwards.
import { flag } from "../cli/options";

export const EMS_OPTION = {
  "without-extended-master-secret": flag(
    "the devices take a server that lacks it (RabbitMQ, EMQX, VerneMQ; SECURITY.md)",
  ),
};

/** What of it goes into a device's settings. */
export function emsSetting(given: { "without-extended-master-secret"?: boolean }): { ems?: number } {
  return given["without-extended-master-secret"] ? { ems: 0 } : {};
}
