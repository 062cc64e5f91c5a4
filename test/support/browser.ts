/** A real browser for the tests of the page: Debian's Chromium, driven by playwright-core. */
import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const PLACES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** Where one lies; undefined: nowhere. */
export const chromiumPath = (): string | undefined => PLACES.find((place) => place !== undefined && existsSync(place))

/** Why tests that need one are skipped; false: they are not. */
export const noBrowser = (): string | false =>
  chromiumPath() ? false : 'no chromium (apt-get install chromium, or CHROMIUM=PATH)'

/** As root it has no sandbox, and containers have little in /dev/shm. It sees pages of this machine alone. */
export const openBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: chromiumPath(),
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb'],
  })
