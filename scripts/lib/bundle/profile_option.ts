// The option `--profile` of every command that writes firmware or derives keys for it.
import { PROFILES } from "../../../firmware/profiles";
import { oneOf, option } from "../cli/options";
import type { PskLabel } from "../keys/kdf";
import { profileOf } from "./profiles";

export const PROFILE_OPTION = option(
  "NAME",
  `the firmware's profile, which says what the psk key is derived for: ${Object.keys(PROFILES).join(", ")}; default PROFILE of the environment, or main`,
  oneOf(Object.keys(PROFILES)),
);

/** Tell which profile is meant, by the option or the environment, and what its psk keys are derived for. Throws UsageError. */
export function profileGiven({ profile }: { profile?: string }): { profile: string; pskLabel: PskLabel } {
  const name = profile ?? (process.env.PROFILE || "main");
  return { profile: name, pskLabel: profileOf(name).pskLabel ?? "psk" };
}
