/** What is wrong with a configuration; the message names the setting and where it came from. */
export class ConfigError extends Error {}
