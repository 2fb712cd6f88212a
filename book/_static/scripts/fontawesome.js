// Stands in for the theme's file of that name, 1.5 MB of drawings: the pages take the same icons from its font.
