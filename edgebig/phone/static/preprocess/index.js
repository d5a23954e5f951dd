/** The door of the preprocessing: what a page imports. */

export { greyOf } from "./grey.js";
export { findDigits } from "./preprocess.js";
