// What commands for one board at home say of the keys.
import { option } from "../cli/options";

/** The row of every command that takes keys from the folder. */
export const HOME_OPTION = {
  keys: option("FOLDER", "the folder of your own keys; default ~/.config/tls-psk-firmware"),
};
