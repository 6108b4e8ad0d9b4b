// What bench, flash and image say of what is written.
import { PROFILE_OPTION } from "../bundle/profile_option";
import { integer, option } from "../cli/options";
import { SEQUENCE_GREATEST } from "../ota/manifest";

/** The options of bench, flash and image that say what is written. */
export const IMAGE_OPTIONS = {
  bundle: option("FILE", "the firmware; default: built now from this source"),
  profile: PROFILE_OPTION,
  sequence: option(
    "N",
    "the firmware's number among the updates to come, in its manifest; default 0",
    integer(0, SEQUENCE_GREATEST),
  ),
};
