// What a device may say and hear: its own topics `<product>/<serial>/...`, and the images of its product to read. One
// place for the gateway's two ways; psk_plugin.c says the same in C, and one suite holds both to it.
import { type Identity, topicPrefix } from "../keys/identity";

/** What the images' topics begin with: `fw/<product>/<digest>/<n>`. */
export const IMAGES = "fw/";

/** Whether a device may publish on a topic: its own only, and not its own firmware manifest. */
export function mayPublish(identity: Identity, topic: string): boolean {
  const prefix = topicPrefix(identity);
  return topic.startsWith(prefix) && topic.length > prefix.length && topic !== `${prefix}ota`;
}

/** Whether a device may subscribe to a filter: its own topics, and the image pieces of its product. */
export function maySubscribe(identity: Identity, filter: string): boolean {
  return [topicPrefix(identity), `${IMAGES}${identity.product}/`].some(
    (prefix) => filter.startsWith(prefix) && filter.length > prefix.length,
  );
}

/** Whether a filter takes a topic (MQTT 3.1.1, 4.7). */
export function matches(filter: string, topic: string): boolean {
  const levels = filter.split("/");
  const names = topic.split("/");
  if (topic.startsWith("$") && /^[+#]/.test(filter)) return false; // 4.7.2
  for (const [at, level] of levels.entries()) {
    if (level === "#") return true;
    if (at >= names.length || (level !== "+" && level !== names[at])) return false;
  }
  return levels.length === names.length;
}
