"""smcloud: distributed, cloud-native production of daily 1 km soil moisture."""
