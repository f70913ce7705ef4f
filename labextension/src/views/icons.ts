/**
 * The icons, in the theme's own colours.
 */

import { LabIcon } from '@jupyterlab/ui-components';

export const machineIcon = new LabIcon({
  name: 'educloud-lab:machine',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M4 4h16a1.5 1.5 0 0 1 1.5 1.5v9A1.5 1.5 0 0 1 20 16H4a1.5 1.5 0 0 1-1.5-1.5v-9A1.5 1.5 0 0 1 4 4zm.5 2v8h15V6z"/>
    <path d="M6.6 7.6 9.4 10l-2.8 2.4-1-1.1L7.1 10 5.6 8.7zM10 11.5h4.5V13H10zM8 18h8v2H8z"/>
    <circle cx="17" cy="8.5" r="1.2"/>
  </g>
</svg>`
});
